"""From the device to the host while the device goes on computing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

MOST_STREAMS = 4
"""A Gaudi has 32 real ones and then shares; copies of logits keep no more than these busy."""


class PendingCopy(Protocol):
    """A copy that is under way."""

    def wait(self) -> NDArray[Any]:
        """The values, once they are there. Any thread may wait, several times too."""


class Copier(Protocol):
    """Copies from the device; made for one thread, the one that runs the network."""

    def start(self, tensor: torch.Tensor) -> PendingCopy:
        """Begin to copy a tensor of a dtype that numpy knows.

        Whatever is asked of the device afterwards may overwrite nothing of it.
        """


@dataclass(frozen=True, slots=True)
class HostCopy:
    """See `PendingCopy`: values that were on the host all along."""

    values: NDArray[Any]

    def wait(self) -> NDArray[Any]:
        return self.values


class HostCopier:
    """See `Copier`: on a CPU nothing has to move."""

    def start(self, tensor: torch.Tensor) -> HostCopy:
        return HostCopy(tensor.detach().numpy())


class StreamCopy:
    """See `PendingCopy`: a copy on a stream of its own, into memory that the device can reach."""

    def __init__(self, source: torch.Tensor, host: torch.Tensor, event: Any) -> None:
        # Held until the copy is done, or its memory would be given to the next tensor.
        self._source: torch.Tensor | None = source
        self._host: torch.Tensor | None = host
        self._event = event
        self._lock = threading.Lock()
        self._values: NDArray[Any] | None = None

    def wait(self) -> NDArray[Any]:
        with self._lock:
            if self._values is None:
                assert self._host is not None  # noqa: S101 - given up only below
                # Waiting for an event is all that other threads may do: on a lazy Gaudi the
                # current stream is one for the process in Python and one a thread in C++.
                self._event.synchronize()
                self._values = self._host.numpy().copy()
                self._source = self._host = None
            return self._values


class StreamCopier:
    """See `Copier`: a few streams in turn, each with one pinned buffer.

    Args:
        accelerator: `torch.cuda` or `torch.hpu`.
        pin: Makes host memory that the device writes to directly.
        flush: Hands over work that the device's software has collected.
    """

    def __init__(
        self,
        accelerator: Any,
        pin: Callable[[torch.Tensor], torch.Tensor],
        flush: Callable[[], None],
    ) -> None:
        self._accelerator = accelerator
        self._flush = flush
        self._slots = [_Slot(stream, pin) for stream in open_streams(accelerator)]
        self._started = 0
        self._thread = threading.get_ident()

    def start(self, tensor: torch.Tensor) -> StreamCopy:
        if threading.get_ident() != self._thread:
            raise RuntimeError("A copier belongs to the thread that made it.")
        slot = self._slots[self._started % len(self._slots)]
        self._started += 1
        source = tensor.detach().contiguous()
        host = slot.make_room(source)
        self._flush()
        slot.stream.wait_stream(self._accelerator.current_stream())
        with self._accelerator.stream(slot.stream):
            host.copy_(source, non_blocking=True)
        slot.pending = StreamCopy(source, host, slot.stream.record_event())
        return slot.pending


@cache
def open_streams(accelerator: Any) -> tuple[Any, ...]:
    """The process's streams for copies: every copier shares them."""
    return tuple(accelerator.Stream() for _ in range(MOST_STREAMS))


class _Slot:
    def __init__(self, stream: Any, pin: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self.stream = stream
        self.pending: StreamCopy | None = None
        self._pin = pin
        self._buffer: torch.Tensor | None = None

    def make_room(self, source: torch.Tensor) -> torch.Tensor:
        """Pinned memory in the shape of the source; what it held before is fetched first."""
        import torch

        if self.pending is not None:
            self.pending.wait()
        count = source.numel()
        buffer = self._buffer
        if buffer is None or buffer.dtype != source.dtype or buffer.numel() < count:
            # Outside of inference mode, or nobody could write to it later.
            with torch.inference_mode(mode=False):
                buffer = self._pin(torch.empty(max(count, 1), dtype=source.dtype))
            self._buffer = buffer
        return buffer[:count].view(source.shape)

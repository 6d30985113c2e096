"""Asynchronous copies from the device to the host."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

MAX_STREAMS = 4
"""A Gaudi has 32 real streams and shares them beyond; copies of logits need no more than these."""


class PendingCopy(Protocol):
    """A copy in progress."""

    def wait(self) -> NDArray[Any]:
        """Wait for the copy and return the values; callable repeatedly and from any thread."""


class Copier(Protocol):
    """Copies from the device; used by one thread, the one that runs the network."""

    def start(self, tensor: torch.Tensor) -> PendingCopy:
        """Start to copy a tensor of a dtype that numpy supports.

        Later work on the device cannot overwrite the tensor.
        """


@dataclass(frozen=True, slots=True)
class HostCopy:
    """See `PendingCopy`: values that are on the host already."""

    values: NDArray[Any]

    def wait(self) -> NDArray[Any]:
        return self.values


class HostCopier:
    """See `Copier`: a CPU needs no copy."""

    def start(self, tensor: torch.Tensor) -> HostCopy:
        return HostCopy(tensor.detach().numpy())


class StreamCopy:
    """See `PendingCopy`: a copy on a separate stream into pinned memory."""

    def __init__(self, source: torch.Tensor, host: torch.Tensor, event: Any) -> None:
        # Referenced until the copy is done, or its memory would be reused by the next tensor.
        self._source: torch.Tensor | None = source
        self._host: torch.Tensor | None = host
        self._event = event
        self._lock = threading.Lock()
        self._values: NDArray[Any] | None = None

    def wait(self) -> NDArray[Any]:
        with self._lock:
            if self._values is None:
                assert self._host is not None  # noqa: S101 - released only below
                # Other threads may only wait for an event: on a lazy Gaudi the current stream is
                # per process in Python and per thread in C++.
                self._event.synchronize()
                self._values = self._host.numpy().copy()
                self._source = self._host = None
            return self._values


class StreamCopier:
    """See `Copier`: a few streams used in turn, each with one pinned buffer.

    Args:
        accelerator: `torch.cuda` or `torch.hpu`.
        pin: Returns a host tensor in pinned memory.
        flush: Submits the work that the device's software has collected.
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
            raise RuntimeError("A copier can only be used by the thread that created it.")
        slot = self._slots[self._started % len(self._slots)]
        self._started += 1
        source = tensor.detach().contiguous()
        host = slot.allocate(source)
        self._flush()
        slot.stream.wait_stream(self._accelerator.current_stream())
        with self._accelerator.stream(slot.stream):
            host.copy_(source, non_blocking=True)
        slot.pending = StreamCopy(source, host, slot.stream.record_event())
        return slot.pending


@cache
def open_streams(accelerator: Any) -> tuple[Any, ...]:
    """Return the process's copy streams, which all copiers share."""
    return tuple(accelerator.Stream() for _ in range(MAX_STREAMS))


class _Slot:
    def __init__(self, stream: Any, pin: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self.stream = stream
        self.pending: StreamCopy | None = None
        self._pin = pin
        self._buffer: torch.Tensor | None = None

    def allocate(self, source: torch.Tensor) -> torch.Tensor:
        """Return pinned memory in the shape of the source, after finishing its previous copy."""
        import torch

        if self.pending is not None:
            self.pending.wait()
        count = source.numel()
        buffer = self._buffer
        if buffer is None or buffer.dtype != source.dtype or buffer.numel() < count:
            # Not in inference mode, or it could not be written to outside of it.
            with torch.inference_mode(mode=False):
                buffer = self._pin(torch.empty(max(count, 1), dtype=source.dtype))
            self._buffer = buffer
        return buffer[:count].view(source.shape)

"""The ranks of distributed training, one process per device, and their communication.

Gradients are reduced by the device's collectives. Everything else (scores, the checkpoint to resume
from, the request to stop) is JSON in torch's key-value store, which does not use the device and has
no collective timeout for a rank that waits for minutes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Protocol, TypeVar

from gaudi_asr_cli.core.distributed.world import World

ValueT = TypeVar("ValueT")

TIMEOUT = timedelta(hours=2)
"""Timeout of collectives: another rank may be writing a large checkpoint."""

POLL_S = 0.02

STOP_AFTER_STEPS = 3
"""Steps from the request to stop to the last step. No rank finishes a step that another has not
begun, and the host of an asynchronous device is at most one step ahead: so no rank is past it."""

STOP = "stop"
"""Key of the last step of all ranks, and of the signal that stops them."""


class Ranks(Protocol):
    """The ranks, which must make the same calls in the same order."""

    @property
    def index(self) -> int: ...

    @property
    def count(self) -> int: ...

    @property
    def first(self) -> bool:
        """Whether this is rank 0, which scores, writes files and reports."""

    def broadcast(self, make: Callable[[], ValueT]) -> ValueT:
        """Call `make` on the first rank and return its result, as JSON, on all ranks."""

    def gather(self, value: ValueT) -> list[ValueT]:
        """Return the values of all ranks on the first rank, and only the own value on others."""

    def stop_due(self, step: int, requested: int | None) -> int | None:
        """Return the signal that stops all ranks after this step, or None.

        `requested` is the signal that this rank has received.
        """


class SingleProcess:
    """See `Ranks`: a single process, which may plan batches for `count` ranks."""

    index = 0
    first = True

    def __init__(self, count: int = 1) -> None:
        self.count = count

    def broadcast(self, make: Callable[[], ValueT]) -> ValueT:
        return make()

    def gather(self, value: ValueT) -> list[ValueT]:
        return [value]

    def stop_due(self, step: int, requested: int | None) -> int | None:
        return requested


class DistributedProcess:
    """See `Ranks`.

    Args:
        world: Rank and world size of this process.
        store: torch's `Store`, shared by all ranks.
    """

    def __init__(self, world: World, store: Any) -> None:
        self.index = world.rank
        self.count = world.size
        self.first = world.rank == 0
        self._store = store
        self._calls = 0
        self._has_requested = False

    def broadcast(self, make: Callable[[], ValueT]) -> ValueT:
        key = self._next_key()
        if not self.first:
            received: ValueT = self._wait_for(key)
            return received
        value = make()
        self._store.set(key, json.dumps(value))
        return value

    def gather(self, value: ValueT) -> list[ValueT]:
        key = self._next_key()
        if not self.first:
            self._store.set(f"{key}/{self.index}", json.dumps(value))
            return [value]
        return [value, *(self._wait_for(f"{key}/{other}") for other in range(1, self.count))]

    def stop_due(self, step: int, requested: int | None) -> int | None:
        if requested is not None and not self._has_requested:
            self._has_requested = True
            # Only the first request is stored: an existing value is not replaced.
            self._store.compare_set(STOP, "", json.dumps([step + STOP_AFTER_STEPS, requested]))
        if not self._store.check([STOP]):
            return None
        last_step, number = self._wait_for(STOP)
        return int(number) if step >= last_step else None

    def _next_key(self) -> str:
        self._calls += 1
        return f"call-{self._calls}"

    def _wait_for(self, key: str) -> Any:
        # Not the store's own `wait`, which would block signal handlers.
        while not self._store.check([key]):
            time.sleep(POLL_S)
        return json.loads(self._store.get(key))


SINGLE_PROCESS = SingleProcess()

"""The processes that train together, one for each card, and what they tell each other.

Gradients travel through the device's own collectives. All else (scores, the checkpoint to go on
from, the wish to stop) is a word of JSON in torch's key-value store: that asks nothing of the card,
and a rank that waits for minutes runs into no collective's timeout.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Protocol, TypeVar

from gaudi_asr_cli.core.distributed.world import World

T = TypeVar("T")

TIMEOUT = timedelta(hours=2)
"""How long a rank waits for the others' gradients: they may be writing a large checkpoint."""

POLL_S = 0.02

STOP_AFTER_STEPS = 3
"""From the wish to stop to the step after which all stop. No rank finishes a step that another has
not begun, and the host of one that runs behind is a step ahead at most: so nobody is past it."""


STOP = "stop"
"""Key of the step after which all stop, and the signal they stop for."""


class Ranks(Protocol):
    """All ranks make the same calls in the same order."""

    @property
    def index(self) -> int: ...

    @property
    def count(self) -> int: ...

    @property
    def first(self) -> bool:
        """Whether this is the rank that scores, writes and speaks."""

    def share(self, make: Callable[[], T]) -> T:
        """What `make` returns on the first rank, on every rank; it must survive JSON."""

    def gather(self, value: T) -> list[T]:
        """Every rank's value on the first rank, which waits for them; elsewhere one's own."""

    def stop_due(self, step: int, wish: int | None) -> int | None:
        """The signal that stops all ranks after this step, once one of them has received it."""


class SingleProcess:
    """See `Ranks`: the only process there is, which may plan for so many."""

    index = 0
    first = True

    def __init__(self, count: int = 1) -> None:
        self.count = count

    def share(self, make: Callable[[], T]) -> T:
        return make()

    def gather(self, value: T) -> list[T]:
        return [value]

    def stop_due(self, step: int, wish: int | None) -> int | None:
        return wish


class DistributedProcess:
    """See `Ranks`.

    Args:
        world: Which of them this is.
        store: Where they meet: torch's `Store`.
    """

    def __init__(self, world: World, store: Any) -> None:
        self.index = world.rank
        self.count = world.size
        self.first = world.rank == 0
        self._store = store
        self._calls = 0
        self._wished = False

    def share(self, make: Callable[[], T]) -> T:
        key = self._next_key()
        if not self.first:
            answer: T = self._wait_for(key)
            return answer
        value = make()
        self._store.set(key, json.dumps(value))
        return value

    def gather(self, value: T) -> list[T]:
        key = self._next_key()
        if not self.first:
            self._store.set(f"{key}/{self.index}", json.dumps(value))
            return [value]
        return [value, *(self._wait_for(f"{key}/{other}") for other in range(1, self.count))]

    def stop_due(self, step: int, wish: int | None) -> int | None:
        if wish is not None and not self._wished:
            self._wished = True
            # Only the first wish counts: it is written where nothing stands yet.
            self._store.compare_set(STOP, "", json.dumps([step + STOP_AFTER_STEPS, wish]))
        if not self._store.check([STOP]):
            return None
        after, number = self._wait_for(STOP)
        return int(number) if step >= after else None

    def _next_key(self) -> str:
        self._calls += 1
        return f"call-{self._calls}"

    def _wait_for(self, key: str) -> Any:
        # Not the store's own waiting: that would keep signals from being heard.
        while not self._store.check([key]):
            time.sleep(POLL_S)
        return json.loads(self._store.get(key))


SINGLE_PROCESS = SingleProcess()

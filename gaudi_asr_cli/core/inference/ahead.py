"""Work on a thread of its own, ahead of whoever needs what comes out of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from threading import Condition, Thread
from typing import Generic, TypeVar

JOIN_S = 5.0
"""Longest wait for the item that the thread is at when the run is stopped."""

T = TypeVar("T")


class RunAhead(Generic[T]):
    """What an iterator gives, in order, made on a thread as far as `budget` allows.

    Use it as a context; leaving it ends the thread. What the iterator raises is raised where the
    items are iterated.

    Args:
        items: Runs on the thread.
        cost: Of an item while it waits.
        budget: Most cost of all that waits; a single item may exceed it.
        name: Of the thread.
    """

    def __init__(
        self, items: Iterator[T], cost: Callable[[T], int], budget: int, name: str
    ) -> None:
        self._items = items
        self._cost = cost
        self._budget = budget
        self._waiting: deque[T] = deque()
        self._waiting_cost = 0
        self._changed = Condition()
        self._finished = False
        self._closed = False
        self._failure: BaseException | None = None
        self._thread = Thread(target=self._run, name=name, daemon=True)

    def __enter__(self) -> RunAhead[T]:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._thread.join(JOIN_S)

    def stop(self) -> None:
        """Want nothing more; the thread ends with the item in its hands."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def __iter__(self) -> Iterator[T]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._finished or self._closed)
                if self._closed or not self._waiting:
                    break
                item = self._waiting.popleft()
                self._waiting_cost -= self._cost(item)
                self._changed.notify_all()
            yield item
            # Or the last one would be held while the next is waited for.
            del item
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            for item in self._items:
                if not self._put(item):
                    break
                del item
        except BaseException as failure:  # noqa: BLE001 - raised again where items are iterated
            self._failure = failure
        finally:
            _close(self._items)
            with self._changed:
                self._finished = True
                self._changed.notify_all()

    def _put(self, item: T) -> bool:
        """Hand the item over once there is room; False when nobody wants it any more."""
        cost = self._cost(item)
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._has_room(cost))
            if self._closed:
                return False
            self._waiting.append(item)
            self._waiting_cost += cost
            self._changed.notify_all()
            return True

    def _has_room(self, cost: int) -> bool:
        # An empty queue takes an item of any cost, or one that is over the budget never passes.
        return not self._waiting or self._waiting_cost + cost <= self._budget


def _close(items: Iterator[T]) -> None:
    """End a generator on the thread that ran it: it may have threads of its own to end."""
    close = getattr(items, "close", None)
    if close is not None:
        close()


def until_failure(items: Iterable[T], failures: list[Exception]) -> Iterator[T]:
    """The items up to an exception, which goes to `failures`: to be raised once they are done."""
    try:
        yield from items
    except Exception as failure:  # noqa: BLE001 - whoever gave the list raises it
        failures.append(failure)

"""Prefetching: an iterator that runs on its own thread, ahead of its consumer."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from threading import Condition, Thread
from typing import Generic, TypeVar

JOIN_S = 5.0
"""Longest wait for the item in progress when the run is stopped."""

ItemT = TypeVar("ItemT")


class RunAhead(Generic[ItemT]):
    """The items of an iterator, in order, produced on a thread within a `budget`.

    Use it as a context manager; leaving it ends the thread. An exception of the iterator is raised
    where the items are consumed.

    Args:
        items: Iterated on the thread.
        cost: Cost of a queued item.
        budget: Maximum total cost of queued items; a single item may exceed it.
        name: Name of the thread.
    """

    def __init__(
        self, items: Iterator[ItemT], cost: Callable[[ItemT], int], budget: int, name: str
    ) -> None:
        self._items = items
        self._cost = cost
        self._budget = budget
        self._queue: deque[ItemT] = deque()
        self._queued_cost = 0
        self._changed = Condition()
        self._finished = False
        self._closed = False
        self._failure: BaseException | None = None
        self._thread = Thread(target=self._run, name=name, daemon=True)

    def __enter__(self) -> RunAhead[ItemT]:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._thread.join(JOIN_S)

    def stop(self) -> None:
        """Stop the thread once the item in progress is done; the rest is dropped."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def __iter__(self) -> Iterator[ItemT]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._finished or self._closed)
                if self._closed or not self._queue:
                    break
                item = self._queue.popleft()
                self._queued_cost -= self._cost(item)
                self._changed.notify_all()
            yield item
            # Otherwise this item would be kept in memory while waiting for the next.
            del item
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            for item in self._items:
                if not self._put(item):
                    break
                del item
        except BaseException as failure:  # noqa: BLE001 - raised again in __iter__
            self._failure = failure
        finally:
            _close(self._items)
            with self._changed:
                self._finished = True
                self._changed.notify_all()

    def _put(self, item: ItemT) -> bool:
        """Queue the item once it fits the budget; return False if the run was stopped."""
        cost = self._cost(item)
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._fits(cost))
            if self._closed:
                return False
            self._queue.append(item)
            self._queued_cost += cost
            self._changed.notify_all()
            return True

    def _fits(self, cost: int) -> bool:
        # An empty queue takes any item; otherwise one over the budget would block forever.
        return not self._queue or self._queued_cost + cost <= self._budget


def _close(items: Iterator[ItemT]) -> None:
    """Close a generator on the thread that ran it: it may have to end its own threads."""
    close = getattr(items, "close", None)
    if close is not None:
        close()


def until_failure(items: Iterable[ItemT], failures: list[Exception]) -> Iterator[ItemT]:
    """Yield the items up to an exception; append it to `failures`, to be raised after the items."""
    try:
        yield from items
    except Exception as failure:  # noqa: BLE001 - the owner of the list raises it
        failures.append(failure)

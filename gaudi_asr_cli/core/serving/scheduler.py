"""The order in which calls of many requests get the network, and the threads that run it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import islice
from threading import Condition, Thread
from typing import TYPE_CHECKING, Any

from gaudi_asr_cli.core.inference.network_queue import NetworkCall, count_rows

if TYPE_CHECKING:
    from gaudi_asr_cli.core.inference.recognizer import Recognizer

SHORT_REQUEST_S = 30.0
"""A request of no more audio is short: a part of the machine is kept for it."""
LIVE_LEAD_S = 60.0
"""Live audio goes before requests that came up to so many seconds earlier."""

CHOICE = 2
"""Calls for each row of a batch, of those due next, from which the ones of like length are chosen.
The one that is due first is always in it, so that a call waits for as many batches, at most, as
there are calls before it."""

ReportBatch = Callable[[int, int], None]
"""Receives the number of calls in a batch, and of requests in it."""


class RequestCancelledError(Exception):
    """The sender of a request has gone."""


@dataclass(eq=False, slots=True)
class Ticket:
    """A request's place in the queue, and what it has had of the network so far.

    `audio_s` is the length of its audio, where it is known; `is_long` is whether that takes several
    calls.
    """

    arrived_s: float
    audio_s: float = 0.0
    is_long: bool = False
    is_cancelled: bool = False
    served_s: float = 0.0
    waited_s: float = 0.0

    def due_s(self, audio_s: float) -> float:
        """Return the time by which the next seconds of audio are due.

        As if each request were computed in real time from when it came: short ones come first,
        and a long one is never kept waiting for longer than it lasts.
        """
        return self.arrived_s + self.served_s + audio_s


@dataclass(eq=False, slots=True)
class _Waiting:
    """A call that waits for the network."""

    call: NetworkCall
    ticket: Ticket
    due_s: float
    queued_s: float
    output: Future[Any] = field(default_factory=Future)


@dataclass(frozen=True, slots=True)
class TicketQueue:
    """The queue of calls as one request sees it; see `NetworkQueue`."""

    scheduler: CallScheduler
    ticket: Ticket

    def run(self, call: NetworkCall) -> Any:
        return self.scheduler.run(call, self.ticket)


@dataclass(frozen=True, slots=True)
class Lanes:
    """What runs side by side in a process.

    Args:
        count: Number of calls or batches, each on a thread.
        most_short: How many of them may be of short requests.
        threads: Number of torch threads that they share.
        most_rows: Rows of a batch of several calls; None: as many as fit.
    """

    count: int
    most_short: int
    threads: int
    most_rows: int | None = None


class CallScheduler:
    """Runs calls on one thread, or on several side by side.

    Calls of the same key that fit a batch of `recognizer.batching` share it. All but one of several
    threads take calls of long requests. What runs alone gets the torch threads of all, a call of a
    long request those of all but one.

    Args:
        recognizer: Runs the calls.
        lanes: What runs side by side.
        report: Receives each batch.
        count_others: Returns the number of other processes that compute now.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        lanes: Lanes,
        report: ReportBatch,
        count_others: Callable[[], int] = lambda: 0,
    ) -> None:
        self._recognizer = recognizer
        self._report = report
        self._lanes = lanes
        self._count_others = count_others
        self._waiting: list[_Waiting] = []
        self._running = self._long_running = 0
        self._changed = Condition()

    def run(self, call: NetworkCall, ticket: Ticket) -> Any:
        """Wait for the output of a call.

        Raises:
            RequestCancelledError: The request is cancelled.
        """
        now_s = time.monotonic()
        waiting = _Waiting(call, ticket, ticket.due_s(call.audio_s), now_s)
        with self._changed:
            if ticket.is_cancelled:
                raise RequestCancelledError
            self._waiting.append(waiting)
            self._changed.notify()
        return waiting.output.result()

    def cancel(self, ticket: Ticket) -> None:
        """Drop the calls of a request that wait; one that runs is finished."""
        with self._changed:
            ticket.is_cancelled = True
            dropped = [one for one in self._waiting if one.ticket is ticket]
            self._waiting = [one for one in self._waiting if one.ticket is not ticket]
        for one in dropped:
            one.output.set_exception(RequestCancelledError())

    def serve(self) -> None:
        """Run calls for ever, on this thread, the one that opened the recogniser, and on others."""
        for number in range(1, self._lanes.count):
            Thread(target=self._run_lane, name=f"network-{number}", daemon=True).start()
        self._run_lane()

    def _run_lane(self) -> None:
        while True:
            group, threads = self._take()
            is_long = _is_long(group[0])
            if self._lanes.threads > 1:
                use_threads(threads)
            try:
                self._run_group(group)
            finally:
                with self._changed:
                    self._running -= 1
                    self._long_running -= is_long
                    self._changed.notify_all()

    def _take(self) -> tuple[list[_Waiting], int]:
        """Wait for the calls to run next, and take them and their torch threads."""
        with self._changed:
            while (first := self._find_first()) is None:
                self._changed.wait()
            group = [first]
            for one in self._list_companions(first):
                if self._fits([member.call for member in (*group, one)]):
                    group.append(one)
            self._waiting = [one for one in self._waiting if one not in group]
            self._running += 1
            self._long_running += _is_long(first)
            threads = self._share_threads(is_long=_is_long(first))
        now_s = time.monotonic()
        for one in group:
            one.ticket.waited_s += now_s - one.queued_s
            one.ticket.served_s += one.call.audio_s
        return group, threads

    def _list_companions(self, first: _Waiting) -> list[_Waiting]:
        """Return the calls that may share a batch with the first, the best ones first."""
        # A short text would be kept until the longest of its batch is generated.
        able = (
            one
            for one in sorted(self._waiting, key=lambda one: one.due_s)
            if one is not first
            and one.call.key == first.call.key
            and (_is_long(first) or not _is_long(one))
        )
        most = self._lanes.most_rows
        if most is None:
            return list(able)
        # Rows that end early are computed on until half of them have ended.
        audio_s = first.ticket.audio_s
        near = list(islice(able, CHOICE * most))
        return sorted(near, key=lambda one: abs(one.ticket.audio_s - audio_s))

    def _fits(self, calls: Sequence[NetworkCall]) -> bool:
        rows = count_rows(calls, self._recognizer.batching)
        return 0 < rows <= (self._lanes.most_rows or rows)

    def _share_threads(self, *, is_long: bool) -> int:
        waiting = 0 if self._is_batched else len(self._waiting)
        threads, lanes = self._lanes.threads, self._lanes.count
        busy = min(self._running + waiting, lanes) + self._count_others()
        most = threads - 1 if is_long else threads
        return max(1, min(most, threads // busy))

    @property
    def _is_batched(self) -> bool:
        return self._recognizer.batching is not None

    def _find_first(self) -> _Waiting | None:
        lanes, short = self._lanes, self._running - self._long_running
        if short >= lanes.most_short:
            # What comes meanwhile is the next batch; only beside long audio there are two.
            return None
        full = lanes.count > 1 and self._long_running >= lanes.count - 1
        able = (one for one in self._waiting if not (full and _is_long(one)))
        return min(able, key=lambda one: one.due_s, default=None)

    def _run_group(self, group: Sequence[_Waiting]) -> None:
        try:
            outputs = self._recognizer.run_calls([one.call for one in group])
        except Exception as error:  # noqa: BLE001 - raised by `run`, where the request is known
            if len(group) == 1:
                group[0].output.set_exception(error)
                return
            # Memory ran out, or one call is at fault.
            for one in group:
                self._run_group([one])
            return
        self._report(len(group), len({id(one.ticket) for one in group}))
        for one, output in zip(group, outputs, strict=True):
            one.output.set_result(output)


def use_threads(count: int) -> None:
    """Have the calling thread, and no other that has run torch, compute on so many threads."""
    import torch

    if torch.get_num_threads() != count:
        torch.set_num_threads(count)


def _is_long(waiting: _Waiting) -> bool:
    ticket = waiting.ticket
    return ticket.is_long or waiting.due_s - ticket.arrived_s > SHORT_REQUEST_S

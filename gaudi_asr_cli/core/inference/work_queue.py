"""A queue of utterances that several processes take from, by seconds of audio."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

from gaudi_asr_cli.core.data.audio import read_duration_s
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.records import Utterance

PARTS = 4
"""A chunk is this part of what is left for each process: chunks shrink, so that all end at once."""
MIN_CHUNK_S, MAX_CHUNK_S = 5.0, 3600.0
MEASURE_BUDGET_S = 1.0
"""Time for headers before the work begins: a thousand files on a local disk."""
GOLDEN_RATIO = 0.618034
"""Its multiples, without their whole parts, spread evenly however many there are."""


class WorkQueue:
    """Chunks of utterances, by their numbers from 0: long ones first, the others in order.

    Args:
        durations_s: Length of each utterance in seconds.
        processes: Number of processes that take chunks.
        least_s: Audio that a process needs for full batches, in seconds.
    """

    def __init__(self, durations_s: Sequence[float], processes: int, least_s: float = 0.0) -> None:
        self._durations_s = durations_s
        self._processes = processes
        self.left_s = sum(durations_s)
        # Of little audio each process gets its share at once.
        self._least_s = max(MIN_CHUNK_S, min(least_s, self.left_s / processes))
        # One that is started last would keep a single process busy while the others have none.
        long_s = self.left_s / (PARTS * processes)
        longest = [number for number, one in enumerate(durations_s) if one > long_s]
        self._alone = deque(sorted(longest, key=lambda number: -durations_s[number]))
        self._others = deque(number for number, one in enumerate(durations_s) if one <= long_s)

    @property
    def is_ending(self) -> bool:
        """Return whether at most one chunk is left for each process: the first to end takes it."""
        return self.left_s <= self._least_s * self._processes

    def take(self) -> tuple[int, ...]:
        """Return the numbers of the next chunk; none if the queue is empty."""
        if self._alone:
            return self._count([self._alone.popleft()])
        wanted_s = self.left_s / (PARTS * self._processes)
        wanted_s = max(min(wanted_s, MAX_CHUNK_S), self._least_s)
        chunk: list[int] = []
        held_s = 0.0
        while self._others and held_s < wanted_s:
            chunk.append(self._others.popleft())
            held_s += self._durations_s[chunk[-1]]
        return self._count(chunk)

    def _count(self, chunk: list[int]) -> tuple[int, ...]:
        self.left_s -= sum(self._durations_s[number] for number in chunk)
        return tuple(chunk)

    def give_back(self, chunk: Sequence[int], *, alone: bool) -> None:
        """Put utterances of a process that ended in front; `alone` makes each a chunk."""
        self.left_s += sum(self._durations_s[number] for number in chunk)
        queue = self._alone if alone else self._others
        queue.extendleft(reversed(chunk))


def estimate_durations(
    utterances: Sequence[Utterance], budget_s: float = MEASURE_BUDGET_S
) -> list[float]:
    """Return the length of each utterance in seconds, as far as needed to share the work.

    Headers are read for `budget_s`, of files all over the list; the size of the others says how
    long they are, as it does on average for those of their suffix that were read.
    """
    deadline_s = time.monotonic() + budget_s
    found = [one.audio.duration_s for one in utterances]
    read: dict[str, list[tuple[float, int]]] = {}
    for number in sorted(range(len(utterances)), key=lambda number: number * GOLDEN_RATIO % 1):
        if time.monotonic() >= deadline_s:
            break
        one = utterances[number]
        if found[number] is None:
            with suppress(DataError):
                found[number] = duration_s = read_duration_s(one.audio)
                read.setdefault(one.audio.path.suffix, []).append((duration_s, _size(one)))
    usual = _rate([pair for pairs in read.values() for pair in pairs])
    rates = {suffix: _rate(pairs) for suffix, pairs in read.items()}
    return [
        _size(one) * rates.get(one.audio.path.suffix, usual) if duration_s is None else duration_s
        for one, duration_s in zip(utterances, found, strict=True)
    ]


def _rate(pairs: Sequence[tuple[float, int]]) -> float:
    """Return seconds for a byte, of lengths and sizes of files."""
    size = sum(size for _, size in pairs)
    return sum(duration_s for duration_s, _ in pairs) / size if size else 1.0


def _size(utterance: Utterance) -> int:
    with suppress(OSError, ValueError):
        return utterance.audio.path.stat().st_size
    return 0

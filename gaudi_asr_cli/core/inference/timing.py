"""Where the time of a run went, and that of each utterance."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock, local

INFERENCE_PHASES = ("decode_audio", "compute", "text")
"""What every run has; others (`features`, `copy`) are there once somebody has timed them."""


@dataclass(slots=True)
class Stopwatch:
    """Seconds that passed inside a timed block, known when it is left."""

    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds that one utterance took; of a batch, each utterance has the whole.

    `compute_s` includes what `features_s` and `copy_s` do not tell apart; `padded_s` is how much
    audio the network heard for it, its share of empty rows included.
    """

    decode_audio_s: float = 0.0
    features_s: float = 0.0
    compute_s: float = 0.0
    copy_s: float = 0.0
    text_s: float = 0.0
    padded_s: float = 0.0

    @property
    def whole_s(self) -> float:
        """From taking the decoded sound up to having its text."""
        return self.features_s + self.compute_s + self.copy_s + self.text_s


class PhaseClock:
    """Adds up seconds by phase, from any thread; phases overlap, so they may exceed the wall."""

    def __init__(self) -> None:
        self._seconds = dict.fromkeys(INFERENCE_PHASES, 0.0)
        self._lock = Lock()
        self._own = local()

    @contextmanager
    def time(self, phase: str) -> Iterator[Stopwatch]:
        """Count what happens inside towards `phase`."""
        watch = Stopwatch()
        started = time.perf_counter()
        try:
            yield watch
        finally:
            watch.seconds = time.perf_counter() - started
            self.add(phase, watch.seconds)

    def add(self, phase: str, seconds: float) -> None:
        """Count seconds towards `phase`; less than none corrects what another one counted."""
        with self._lock:
            self._seconds[phase] = self._seconds.get(phase, 0.0) + seconds
        setattr(self._own, phase, self.read_own(phase) + seconds)

    def read_own(self, phase: str) -> float:
        """Seconds that the calling thread has counted towards `phase` so far."""
        seconds: float = getattr(self._own, phase, 0.0)
        return seconds

    @property
    def phases_s(self) -> dict[str, float]:
        """Seconds spent so far in each phase."""
        with self._lock:
            return dict(self._seconds)

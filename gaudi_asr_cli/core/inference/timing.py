"""Timing of a run by phase, and of each utterance."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock, local

INFERENCE_PHASES = ("decode_audio", "compute", "text")
"""Phases of every run; others (`features`, `copy`) are added if they are timed."""


@dataclass(slots=True)
class Stopwatch:
    """Seconds spent in a timed block, set when it is left.

    `features_s` of them are not counted in `seconds`, where features are timed separately.
    """

    seconds: float = 0.0
    features_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds per phase of one utterance; in a batch, each utterance has those of the whole batch.

    `compute_s` includes features and copies if these are not timed separately. `padded_s` is the
    padded audio that went through the network for it, including its share of empty rows;
    `first_token_s` is the time from decoded audio to the first generated token of its batch, None
    where no tokens are generated.
    """

    decode_audio_s: float = 0.0
    features_s: float = 0.0
    compute_s: float = 0.0
    copy_s: float = 0.0
    text_s: float = 0.0
    padded_s: float = 0.0
    first_token_s: float | None = None

    @property
    def latency_s(self) -> float:
        """Return the latency from decoded audio to text."""
        return self.features_s + self.compute_s + self.copy_s + self.text_s


class PhaseClock:
    """Adds up seconds by phase, from any thread; phases overlap and may exceed the wall time."""

    def __init__(self) -> None:
        self._seconds = dict.fromkeys(INFERENCE_PHASES, 0.0)
        self._lock = Lock()
        self._local = local()

    @contextmanager
    def time(self, phase: str) -> Iterator[Stopwatch]:
        """Time the block and add it to `phase`."""
        watch = Stopwatch()
        started = time.perf_counter()
        try:
            yield watch
        finally:
            watch.seconds = time.perf_counter() - started
            self.add(phase, watch.seconds)

    @contextmanager
    def time_compute(self) -> Iterator[Stopwatch]:
        """Time the block as `compute`, without the features that are timed inside it."""
        before_s = self.read_thread("features")
        with self.time("compute") as watch:
            yield watch
        watch.features_s = self.read_thread("features") - before_s
        watch.seconds -= watch.features_s
        self.add("compute", -watch.features_s)

    def add(self, phase: str, seconds: float) -> None:
        """Add seconds to `phase`; a negative number corrects the count of another phase."""
        with self._lock:
            self._seconds[phase] = self._seconds.get(phase, 0.0) + seconds
        setattr(self._local, phase, self.read_thread(phase) + seconds)

    def read_thread(self, phase: str) -> float:
        """Return the seconds that the calling thread has added to `phase` so far."""
        seconds: float = getattr(self._local, phase, 0.0)
        return seconds

    @property
    def phases_s(self) -> dict[str, float]:
        """Return the seconds spent so far in each phase."""
        with self._lock:
            return dict(self._seconds)

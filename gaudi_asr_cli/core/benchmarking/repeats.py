"""Repeated, timed transcription of a workload."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gaudi_asr_cli.core.benchmarking.workload import Workload
from gaudi_asr_cli.core.devices.base import Device
from gaudi_asr_cli.core.events import Observer, StageAdvanced, StageFinished, StageStarted, ignore
from gaudi_asr_cli.core.inference.recognizer import Recognizer
from gaudi_asr_cli.core.inference.results import TimedResult
from gaudi_asr_cli.core.inference.timing import PhaseClock, Timing
from gaudi_asr_cli.core.inference.transcribe import transcribe_timed

BENCHMARK_PHASES = ("read", "decode_audio", "features", "compute", "copy", "text")


@dataclass(frozen=True, slots=True)
class Repeat:
    """One timed pass over the workload; `results` are in its order."""

    wall_s: float
    results: tuple[TimedResult, ...]
    phases_s: dict[str, float]

    @property
    def timings(self) -> tuple[Timing, ...]:
        return tuple(one.timing for one in self.results)


@dataclass(frozen=True, slots=True)
class Repeats:
    """A recogniser, its workload and its device, for repeated passes."""

    recognizer: Recognizer
    workload: Workload
    device: Device

    def warm_up(self, positions: Sequence[int]) -> float:
        """Transcribe the utterances at `positions` once; return the seconds that took."""
        started = time.perf_counter()
        chosen = [self.workload.utterances[position] for position in positions]
        for _ in transcribe_timed(self.recognizer, chosen, load=self.workload.load):
            pass
        self.device.synchronize()
        return time.perf_counter() - started

    def transcribe_clips(self, stage: str, observe: Observer = ignore) -> Repeat:
        """Transcribe the whole workload once, timed."""
        clock = PhaseClock()
        recognizer = self.recognizer.timed(clock)
        utterances = self.workload.utterances
        observe(StageStarted(stage, len(utterances)))
        results: list[TimedResult] = []
        started = time.perf_counter()
        for one in transcribe_timed(
            recognizer,
            utterances,
            observe=observe,
            load=self.workload.load,
            clock=clock,
        ):
            results.append(one)
            observe(StageAdvanced(stage, len(results)))
        self.device.synchronize()
        wall_s = time.perf_counter() - started
        observe(StageFinished(stage, wall_s))
        return Repeat(wall_s, tuple(results), clock.phases_s)


def pick_warm_up(durations_s: Sequence[float], edges_s: Sequence[float]) -> list[int]:
    """Return the positions of the longest utterance per bucket, to run each shape once."""
    durations = np.asarray(durations_s, dtype=np.float64)
    bucket_of = np.searchsorted(np.asarray(edges_s) + 1e-6, durations)
    picked = []
    for bucket in np.unique(bucket_of):
        members = np.flatnonzero(bucket_of == bucket)
        picked.append(int(members[durations[members].argmax()]))
    return picked

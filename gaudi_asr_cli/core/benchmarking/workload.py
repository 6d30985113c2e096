"""The workload of a benchmark: utterances and their audio."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from gaudi_asr_cli.core.benchmarking.synthetic import make_synthetic_speech
from gaudi_asr_cli.core.data.audio import load_audio
from gaudi_asr_cli.core.data.reading import read_measured
from gaudi_asr_cli.core.data.sources import ReadOptions
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.events import Noticed, Observer, ignore
from gaudi_asr_cli.core.inference.prefetch import Loader
from gaudi_asr_cli.core.records import Utterance

SYNTHETIC = "synthetic speech with the durations of LibriSpeech test-clean (modelled)"


@dataclass(frozen=True, slots=True)
class Workload:
    """Utterances with their durations, and the loader of their audio.

    `read_s` is the time to find and measure them, in seconds.
    """

    name: str
    utterances: tuple[Utterance, ...]
    load: Loader
    synthetic: bool
    read_s: float

    @property
    def durations_s(self) -> list[float]:
        return [one.audio.duration_s or 0.0 for one in self.utterances]

    @property
    def audio_s(self) -> float:
        return sum(self.durations_s)

    @property
    def has_text(self) -> bool:
        return any(one.text is not None for one in self.utterances)


def make_workload(utterances: int, seed: int) -> Workload:
    """Make synthetic speech; 0 utterances are as many as in test-clean."""
    started = time.perf_counter()
    speech = make_synthetic_speech(utterances, seed)
    return Workload(SYNTHETIC, speech.utterances, speech.load, True, time.perf_counter() - started)


def read_workload(
    sources: Sequence[str], options: ReadOptions, limit: int, observe: Observer = ignore
) -> Workload:
    """Read the first `limit` utterances (0: all) of real data whose duration can be measured.

    Raises:
        DataError: No utterance can be read.
    """
    started = time.perf_counter()
    measured = read_measured(sources, options, observe)
    if not measured.utterances:
        first = measured.broken[0]
        raise DataError(
            f"There is no readable audio in {', '.join(sources)}; the first, {first}",
            remedy="Check the path and --split, or leave --data out for synthetic speech.",
        )
    if measured.broken:
        first = measured.broken[0]
        observe(
            Noticed(
                f"{len(measured.broken)} utterances cannot be read and are skipped, the first "
                f"{first}"
            )
        )
    return Workload(
        name=", ".join(sources),
        utterances=measured.utterances[: limit or None],
        load=partial(load_audio),
        synthetic=False,
        read_s=time.perf_counter() - started,
    )

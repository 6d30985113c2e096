"""How long every utterance is, from headers; files that cannot be used are told apart."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from gaudi_asr_cli.core.data.audio import read_duration_s
from gaudi_asr_cli.core.data.paths import find_path_problem
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.events import (
    Observer,
    StageAdvanced,
    StageFinished,
    StageStarted,
    ignore,
)
from gaudi_asr_cli.core.records import Utterance

STAGE = "measure"

_THREADS = min(16, 4 * (os.cpu_count() or 1))
"""More than cores: on network disks most of the time is waiting."""

_SLICE = 64
_ADVANCE_S = 0.2


@dataclass(frozen=True, slots=True)
class BrokenAudio:
    """An utterance that cannot be heard, and why."""

    utterance: Utterance
    reason: str


@dataclass(frozen=True, slots=True)
class Measured:
    """`utterances` with a duration each, in their order; `broken` those that have none."""

    utterances: tuple[Utterance, ...]
    broken: tuple[BrokenAudio, ...] = ()

    @property
    def audio_s(self) -> float:
        return sum(utterance.audio.duration_s or 0.0 for utterance in self.utterances)


def measure(utterances: Iterable[Utterance], observe: Observer = ignore) -> Measured:
    """Fill in each `duration_s` from its file's header, in threads; nothing is decoded.

    A duration that the source declares is trusted, if the file is there: what it promises too
    much shows as lost seconds when the span is loaded.

    Raises:
        DataError: The source itself is broken, as its reader tells.
    """
    started_s = time.monotonic()
    sources = tuple(utterances)
    observe(StageStarted(STAGE, float(len(sources))))
    good: list[Utterance] = []
    broken: list[BrokenAudio] = []
    for result in _reporting(_measure_all(sources), observe):
        if isinstance(result, BrokenAudio):
            broken.append(result)
        else:
            good.append(result)
    observe(StageFinished(STAGE, time.monotonic() - started_s))
    return Measured(tuple(good), tuple(broken))


def _measure_all(utterances: tuple[Utterance, ...]) -> Iterator[Utterance | BrokenAudio]:
    present = _PresentFiles()
    parts = [utterances[i : i + _SLICE] for i in range(0, len(utterances), _SLICE)]
    with ThreadPoolExecutor(_THREADS) as pool:
        # Rows of one file lie together in a part; a thread for each would only wait in line.
        for results in pool.map(partial(_measure_some, present=present), parts):
            yield from results


def _measure_some(
    utterances: tuple[Utterance, ...], present: _PresentFiles
) -> list[Utterance | BrokenAudio]:
    return [_measure_one(utterance, present) for utterance in utterances]


def _measure_one(utterance: Utterance, present: _PresentFiles) -> Utterance | BrokenAudio:
    span = utterance.audio
    if span.duration_s is not None and present.holds(span.path):
        return utterance
    try:
        duration_s = read_duration_s(span)
    except DataError as error:
        return BrokenAudio(utterance, error.message)
    return replace(utterance, audio=replace(span, duration_s=duration_s))


class _PresentFiles:
    """Remembers which files are there: a long recording is asked for once, not once a segment."""

    def __init__(self) -> None:
        self._known: dict[Path, bool] = {}

    def holds(self, path: Path) -> bool:
        if path not in self._known:
            self._known[path] = find_path_problem(path) is None
        return self._known[path]


def _reporting(
    results: Iterator[Utterance | BrokenAudio], observe: Observer
) -> Iterator[Utterance | BrokenAudio]:
    told_s = time.monotonic()
    for done, result in enumerate(results, start=1):
        yield result
        if time.monotonic() - told_s > _ADVANCE_S:
            told_s = time.monotonic()
            observe(StageAdvanced(STAGE, float(done)))

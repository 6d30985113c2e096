"""How long every utterance is, from headers; files that cannot be used are told apart."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gaudi_asr_cli.core.data.audio import read_total_s
from gaudi_asr_cli.core.data.contradictions import Contradiction, settle, sum_up_contradictions
from gaudi_asr_cli.core.data.rejected import RowError
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.events import (
    Noticed,
    Observer,
    StageAdvanced,
    StageFinished,
    StageStarted,
    ignore,
)
from gaudi_asr_cli.core.records import AudioSpan, Utterance

MEASURE_STAGE = "measure"

_THREADS = min(16, 4 * (os.cpu_count() or 1))
"""More than cores: on network disks most of the time is waiting."""

_SLICE = 64
_ADVANCE_S = 0.2


@dataclass(frozen=True, slots=True)
class BrokenAudio:
    """An utterance that cannot be used, and why."""

    utterance: Utterance
    reason: str

    def __str__(self) -> str:
        path = str(self.utterance.audio.path)
        return self.reason if path in self.reason else f"{path}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Measured:
    """`utterances` with a duration each, in their order; `broken` those that have none.

    `contradictions` says of each row that promises what its file does not hold how it was read;
    `notes` sums them up, and says what else is worth knowing about the data.
    """

    utterances: tuple[Utterance, ...]
    broken: tuple[BrokenAudio, ...] = ()
    contradictions: tuple[Contradiction, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def audio_s(self) -> float:
        return sum(utterance.audio.duration_s or 0.0 for utterance in self.utterances)


def measure(
    utterances: Iterable[Utterance], observe: Observer = ignore, notes: Sequence[str] = ()
) -> Measured:
    """Compare each row with its file's header, in threads; nothing is decoded.

    A row without a duration takes what its file holds from its start on, and so does one that
    promises more than the file holds. A header is read once for each file.

    Args:
        utterances: Rows of a source, which is read to its end first.
        observe: Receives progress and the notes.
        notes: What reading the source has noted; a list that may grow while it is read.

    Raises:
        DataError: The source itself is broken, as its reader says.
    """
    started_s = time.monotonic()
    sources = tuple(utterances)
    observe(StageStarted(MEASURE_STAGE, float(len(sources))))
    results = list(_reporting(_measure_all(sources), observe))
    contradictions = tuple(one.found for one in results if one.found is not None)
    measured = Measured(
        utterances=tuple(one.utterance for one in results if one.reason is None),
        broken=tuple(
            BrokenAudio(one.utterance, one.reason) for one in results if one.reason is not None
        ),
        contradictions=contradictions,
        notes=(*notes, *sum_up_contradictions(contradictions)),
    )
    observe(StageFinished(MEASURE_STAGE, time.monotonic() - started_s))
    for note in measured.notes:
        observe(Noticed(note))
    return measured


@dataclass(frozen=True, slots=True)
class _Result:
    """A row after it was compared with its file: `reason` says why it cannot be used."""

    utterance: Utterance
    reason: str | None = None
    found: Contradiction | None = None


def _measure_all(utterances: tuple[Utterance, ...]) -> Iterator[_Result]:
    # A list in which a row has a start names segments, and means what it says.
    whole = not any(one.audio.start_s for one in utterances)
    headers = _Headers(Counter(one.audio.path for one in utterances) if whole else {})
    parts = [utterances[i : i + _SLICE] for i in range(0, len(utterances), _SLICE)]
    with ThreadPoolExecutor(_THREADS) as pool:
        # Rows of one file lie together in a part; a thread for each would only wait in line.
        for results in pool.map(partial(_measure_some, headers=headers), parts):
            yield from results


def _measure_some(utterances: tuple[Utterance, ...], headers: _Headers) -> list[_Result]:
    return [_measure_one(utterance, headers) for utterance in utterances]


def _measure_one(utterance: Utterance, headers: _Headers) -> _Result:
    try:
        held_s = headers.read_total_s(utterance.audio)
    except DataError as error:
        return _Result(utterance, utterance.rejection or _place(utterance, error.message))
    if utterance.rejection:
        return _Result(utterance, f"{utterance.rejection}; the file holds {held_s:.3f} s")
    try:
        settled, found = settle(utterance, held_s, alone=headers.is_named_once(utterance.audio))
    except RowError as error:
        return _Result(utterance, str(error))
    return _Result(settled, found=found)


def _place(utterance: Utterance, message: str) -> str:
    """Name the list and line too, where the message does not."""
    origin = utterance.origin
    return message if origin in message else f"{origin}: {message}"


class _Headers:
    """What the headers say, each read once: a long recording is not opened for every segment."""

    def __init__(self, named: Mapping[Path, int]) -> None:
        self._named = named
        self._known: dict[Path, float | DataError] = {}

    def is_named_once(self, span: AudioSpan) -> bool:
        return span.row is None and self._named.get(span.path) == 1

    def read_total_s(self, span: AudioSpan) -> float:
        """Return the seconds of the whole file or cell.

        Raises:
            DataError: It cannot be read.
        """
        if span.row is not None:
            return read_total_s(span)
        if span.path not in self._known:
            try:
                self._known[span.path] = read_total_s(span)
            except DataError as error:
                self._known[span.path] = error
        known = self._known[span.path]
        if isinstance(known, DataError):
            raise known
        return known


def _reporting(results: Iterator[_Result], observe: Observer) -> Iterator[_Result]:
    reported_s = time.monotonic()
    for done, result in enumerate(results, start=1):
        yield result
        if time.monotonic() - reported_s > _ADVANCE_S:
            reported_s = time.monotonic()
            observe(StageAdvanced(MEASURE_STAGE, float(done)))

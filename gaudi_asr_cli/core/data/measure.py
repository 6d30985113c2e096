"""Measure the duration of every utterance from headers, and find files that cannot be used."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gaudi_asr_cli.core.data.audio import read_whole
from gaudi_asr_cli.core.data.contradictions import (
    Contradiction,
    reconcile,
    summarize_contradictions,
)
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
"""More than cores: on network disks most of the time is spent waiting."""

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
    """`utterances` with a duration each, in their order, and the `broken` ones.

    `contradictions` lists the rows that differ from their files, and how each was read; `notes`
    summarises them, with other remarks about the data.
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

    A row without a duration, or with one beyond the end of its file, extends to the end of the
    file. Each header is read once.

    Args:
        utterances: Rows of a source, which is read to its end first.
        observe: Receives progress and the notes.
        notes: Notes of the reader; a list that may grow while the source is read.

    Raises:
        DataError: The source itself is broken.
    """
    started_s = time.monotonic()
    sources = tuple(utterances)
    observe(StageStarted(MEASURE_STAGE, float(len(sources))))
    # A list with a start in any row names segments, so its durations are taken as they are.
    segments = any(utterance.audio.start_s for utterance in sources)
    headers = _Headers({} if segments else _count_rows(sources), lists_segments=segments)
    results = list(_reporting(_measure_all(sources, headers), observe))
    contradictions = tuple(
        result.contradiction for result in results if result.contradiction is not None
    )
    measured = Measured(
        utterances=tuple(result.utterance for result in results if result.reason is None),
        broken=tuple(
            BrokenAudio(result.utterance, result.reason)
            for result in results
            if result.reason is not None
        ),
        contradictions=contradictions,
        notes=(*notes, *summarize_contradictions(contradictions), *headers.summarize_notes()),
    )
    observe(StageFinished(MEASURE_STAGE, time.monotonic() - started_s))
    for note in measured.notes:
        observe(Noticed(note))
    return measured


@dataclass(frozen=True, slots=True)
class _Result:
    """A row compared with its file; `reason` is why it cannot be used."""

    utterance: Utterance
    reason: str | None = None
    contradiction: Contradiction | None = None


def _count_rows(utterances: tuple[Utterance, ...]) -> Mapping[Path, int]:
    return Counter(utterance.audio.path for utterance in utterances)


def _measure_all(utterances: tuple[Utterance, ...], headers: _Headers) -> Iterator[_Result]:
    parts = [utterances[i : i + _SLICE] for i in range(0, len(utterances), _SLICE)]
    with ThreadPoolExecutor(_THREADS) as pool:
        # In parts: rows of one file are neighbours, and one thread each would only wait.
        for results in pool.map(partial(_measure_some, headers=headers), parts):
            yield from results


def _measure_some(utterances: tuple[Utterance, ...], headers: _Headers) -> list[_Result]:
    return [_measure_one(utterance, headers) for utterance in utterances]


def _measure_one(utterance: Utterance, headers: _Headers) -> _Result:
    try:
        total_s = headers.read_total_s(utterance.audio)
    except DataError as error:
        return _Result(utterance, utterance.rejection or _with_origin(utterance, error.message))
    if utterance.rejection:
        return _Result(utterance, f"{utterance.rejection}; the file holds {total_s:.3f} s")
    try:
        read, contradiction = reconcile(
            utterance,
            total_s,
            only_row=headers.has_one_row(utterance.audio),
            is_segment=headers.lists_segments,
        )
    except RowError as error:
        return _Result(utterance, str(error))
    return _Result(read, contradiction=contradiction)


def _with_origin(utterance: Utterance, message: str) -> str:
    """Prepend the list and line, where the message lacks them."""
    origin = utterance.origin
    return message if origin in message else f"{origin}: {message}"


class _Headers:
    """Headers, each read once: a long recording is not opened again for every segment."""

    def __init__(self, rows_of_file: Mapping[Path, int], *, lists_segments: bool) -> None:
        self.lists_segments = lists_segments
        self._rows_of_file = rows_of_file
        self._known: dict[tuple[Path, int | str | None], float | DataError] = {}
        self._notes: dict[str, list[Path]] = {}

    def has_one_row(self, span: AudioSpan) -> bool:
        return span.row is None and self._rows_of_file.get(span.path) == 1

    def read_total_s(self, span: AudioSpan) -> float:
        """Return the length of the whole file or cell in seconds.

        Raises:
            DataError: It cannot be read.
        """
        if span.row is not None:
            return self._read(span)
        file = (span.path, span.track)
        if file not in self._known:
            try:
                self._known[file] = self._read(span)
            except DataError as error:
                self._known[file] = error
        known = self._known[file]
        if isinstance(known, DataError):
            raise known
        return known

    def _read(self, span: AudioSpan) -> float:
        total_s, notes = read_whole(span)
        for note in notes:
            self._notes.setdefault(note, []).append(span.path)
        return total_s

    def summarize_notes(self) -> list[str]:
        """Return a sentence for each note on files, with the first and the number of files."""
        return [
            f"{paths[0]}: {note}" + ("" if len(paths) == 1 else f" ({len(paths)} such files)")
            for note, paths in self._notes.items()
        ]


def _reporting(results: Iterator[_Result], observe: Observer) -> Iterator[_Result]:
    reported_s = time.monotonic()
    for done, result in enumerate(results, start=1):
        yield result
        if time.monotonic() - reported_s > _ADVANCE_S:
            reported_s = time.monotonic()
            observe(StageAdvanced(MEASURE_STAGE, float(done)))

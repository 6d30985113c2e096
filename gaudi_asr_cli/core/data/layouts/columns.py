"""The columns of a list, and its rows as utterances."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from gaudi_asr_cli.core.data.audio import read_rate_hz
from gaudi_asr_cli.core.data.layouts.options import ReadOptions
from gaudi_asr_cli.core.data.layouts.times import TimeColumns, read_times, reject_unclear
from gaudi_asr_cli.core.data.listed_paths import find_file
from gaudi_asr_cli.core.data.rejected import (
    RowError,
    find_printable_path,
    make_printable,
    reject_row,
    reject_unprintable,
)
from gaudi_asr_cli.core.errors import AsrError, DataError
from gaudi_asr_cli.core.records import AudioSpan, Utterance

TEXT_COLUMNS = ("text", "sentence", "transcription", "transcript", "normalized_text")
AUDIO_COLUMNS = (
    "audio_filepath",
    "audio",
    "path",
    "file_name",
    "file",
    "wav",
    "audio_path",
    "filename",
    "file_path",
    "filepath",
    "wav_filename",
    "audio_file",
    "clip",
)
SPEAKER_COLUMNS = ("speaker", "speaker_id", "client_id", "spk_id", "spk")
ID_COLUMNS = ("id", "utt_id", "utterance_id", "uttid")
TRACK_COLUMNS = ("track", "audio_track")

_MOST_TRACKS = 10_000

Row = tuple[int, Mapping[str, Any]]
"""Line number in the file, counted from 1, and the cells by column."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of the columns that are used; None where there is none."""

    audio: str | None
    text: str | None
    speaker: str | None
    id: str | None
    track: str | None
    times: TimeColumns

    @classmethod
    def find(cls, names: Sequence[str], options: ReadOptions, where: str) -> Columns:
        """Find each column by its usual names.

        Raises:
            DataError: There is no audio or text column, or none of the given name.
        """
        audio = find_first(AUDIO_COLUMNS, names)
        text = find_text_column(names, options, where)
        if audio is None:
            raise DataError(
                f"{where}: there is no column of audio files; the columns are {', '.join(names)}.",
                remedy=f"Name it {AUDIO_COLUMNS[0]}, or one of {', '.join(AUDIO_COLUMNS[1:6])}.",
            )
        times = TimeColumns.find([name for name in names if name not in (audio, text)])
        return cls(
            audio,
            text,
            find_first(SPEAKER_COLUMNS, names),
            find_first(ID_COLUMNS, names),
            find_first(TRACK_COLUMNS, names),
            times,
        )


def find_text_column(names: Sequence[str], options: ReadOptions, where: str) -> str | None:
    """Return the text column, given by the user or found by its usual names.

    Raises:
        DataError: There is none, and text is needed or a column was given.
    """
    found = find_first((options.text_column,) if options.text_column else TEXT_COLUMNS, names)
    if found is None and (options.text_column or options.needs_text):
        wanted = f"named {options.text_column!r}" if options.text_column else "of text"
        raise DataError(
            f"{where}: there is no column {wanted}; the columns are {', '.join(names)}.",
            remedy="Name the column that holds the text with --text-column NAME.",
        )
    return found


def read_rows(
    rows: Iterable[Row], source: Path, base: Path, options: ReadOptions
) -> Iterator[Utterance]:
    """Yield rows as utterances; columns are found per row, because JSON lines may differ in keys.

    Args:
        rows: Line numbers and cells.
        source: The list, for errors.
        base: Base folder of relative paths.
        options: `text_column` and `needs_text` are used.

    Raises:
        DataError: A column or a cell is missing or wrong; the error names the line.
    """
    known: dict[tuple[str, ...], Columns] = {}
    lines: dict[str, int] = {}
    for line, cells in rows:
        where = f"{source}, line {line}"
        names = tuple(cells)
        if names not in known:
            known[names] = Columns.find(names, options, where)
        columns = known[names]
        reject_unclear(cells, columns.times, where)
        name = _read_id(cells, columns.id)
        if name is not None and lines.setdefault(name, line) != line:
            raise DataError(
                f"{source}: lines {lines[name]} and {line} have the same {columns.id}, {name!r}.",
                remedy="Give each utterance a unique id, remove one of them, or rename the "
                f"column {columns.id!r} if it does not identify utterances.",
            )
        yield read_row(cells, columns, base, where)


def read_row(cells: Mapping[str, Any], columns: Columns, base: Path, where: str) -> Utterance:
    """Return the row as an utterance, with a `rejection` where it cannot be used."""
    span = AudioSpan(base / where.rpartition(", ")[0])
    try:
        span = AudioSpan(_read_path(cells, columns.audio, base))
        start_s, duration_s = read_times(cells, columns.times, partial(find_rate_hz, span))
        return Utterance(
            _read_id(cells, columns.id) or span.path.stem,
            replace(
                span,
                start_s=start_s,
                duration_s=duration_s,
                track=read_track(cells, columns.track),
            ),
            text=read_text(cells.get(columns.text or ""), columns.text),
            speaker=read_text(cells.get(columns.speaker or "") or None, columns.speaker),
            origin=where,
        )
    except RowError as error:
        shown = replace(span, path=find_printable_path(span.path))
        text = cells.get(columns.text or "")
        name = _read_id(cells, columns.id) or ""
        return reject_row(where, error, shown, name, text if isinstance(text, str) else None)


def read_text(value: Any, column: str | None) -> str | None:
    """Return a cell as text; None for an empty cell.

    Raises:
        RowError: It is a list or an object, or contains a lone surrogate.
    """
    if value is None:
        return None
    if isinstance(value, list | dict | bool) or value != value:
        raise RowError(f"{column!r} is {str(value)[:60]}, not a text")
    return reject_unprintable(str(value), repr(column))


def _read_id(cells: Mapping[str, Any], column: str | None) -> str | None:
    value = cells.get(column) if column else None
    if value is None or isinstance(value, list | dict) or not str(value).strip():
        return None
    return make_printable(str(value).strip())


def read_track(cells: Mapping[str, Any], column: str | None) -> int | None:
    """Return the audio track of the row's file; None where the cell is no number, as a title.

    Raises:
        RowError: It is a negative number, or no whole one.
    """
    value = cells.get(column) if column else None
    if isinstance(value, bool) or value is None or value != value:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    if not 0 <= number < _MOST_TRACKS or number != int(number):
        raise RowError(f"{column!r} is {str(value)[:60]}, not the number of an audio track from 0")
    return int(number)


def _read_path(cells: Mapping[str, Any], column: str | None, base: Path) -> Path:
    written = cells[column] if column else None
    if not isinstance(written, str):
        raise RowError(f"{column!r} is {str(written)[:60]!r}, not the path of an audio file")
    try:
        path = find_file(base, written)
        os.fsencode(path)
    except UnicodeEncodeError:
        raise RowError(f"{column!r} holds a lone surrogate, which no path has") from None
    except ValueError as error:
        raise RowError(f"{column!r}: {error}") from error
    return path


def find_rate_hz(span: AudioSpan) -> int:
    """Return the sample rate of the row's file, to convert times in samples to seconds."""
    try:
        return read_rate_hz(span)
    except AsrError as error:
        raise RowError(error.message) from error


def find_first(wanted: Iterable[str], names: Sequence[str]) -> str | None:
    return next((name for name in wanted if name in names), None)

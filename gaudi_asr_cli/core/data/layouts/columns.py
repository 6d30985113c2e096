"""Which column of a list holds what, and its rows as utterances."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gaudi_asr_cli.core.data.layouts.options import ReadOptions
from gaudi_asr_cli.core.errors import DataError
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
DURATION_COLUMNS = ("duration", "duration_s", "audio_duration")
OFFSET_COLUMNS = ("offset", "offset_s", "start_s")

Row = tuple[int, Mapping[str, Any]]
"""Line number in the file, counted from 1, and the cells by column."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of the columns that matter; None where there is none."""

    audio: str | None
    text: str | None
    speaker: str | None
    duration: str | None
    offset: str | None

    @classmethod
    def find(cls, names: Sequence[str], options: ReadOptions, where: str) -> Columns:
        """Look for each column by its usual names.

        Raises:
            DataError: There is no column of text, or not the one that was named.
        """
        return cls(
            _first(AUDIO_COLUMNS, names),
            find_text_column(names, options, where),
            _first(SPEAKER_COLUMNS, names),
            _first(DURATION_COLUMNS, names),
            _first(OFFSET_COLUMNS, names),
        )


def find_text_column(names: Sequence[str], options: ReadOptions, where: str) -> str | None:
    """The column that holds the text, named by the user or known by name.

    Raises:
        DataError: There is none, and text is needed or a column was named.
    """
    found = _first((options.text_column,) if options.text_column else TEXT_COLUMNS, names)
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
    """Rows as utterances; each row says which columns it has, as lines of JSON may differ.

    Args:
        rows: Line numbers and cells.
        source: The list, for errors.
        base: Where relative paths start.
        options: `text_column` and `needs_text` are heeded.

    Raises:
        DataError: A column or a cell is missing or wrong; the line is named.
    """
    known: dict[tuple[str, ...], Columns] = {}
    for line, cells in rows:
        where = f"{source}, line {line}"
        names = tuple(cells)
        if names not in known:
            known[names] = Columns.find(names, options, where)
        yield _read_row(cells, known[names], base, where)


def _read_row(cells: Mapping[str, Any], columns: Columns, base: Path, where: str) -> Utterance:
    path = base / _read_path(cells, columns.audio, where)
    span = AudioSpan(
        path,
        start_s=_read_seconds(cells, columns.offset, where) or 0.0,
        duration_s=_read_seconds(cells, columns.duration, where) or None,
    )
    text = None if columns.text is None else cells[columns.text]
    speaker = cells.get(columns.speaker) if columns.speaker else None
    return Utterance(
        path.stem,
        span,
        text=None if text is None else str(text),
        speaker=None if speaker in (None, "") else str(speaker),
    )


def _read_path(cells: Mapping[str, Any], column: str | None, where: str) -> str:
    if column is None:
        raise DataError(
            f"{where}: there is no column of audio files; the columns are {', '.join(cells)}.",
            remedy=f"Call it {AUDIO_COLUMNS[0]}, or one of {', '.join(AUDIO_COLUMNS[1:6])}.",
        )
    path = cells[column]
    if not isinstance(path, str) or not path.strip() or "\0" in path:
        raise DataError(
            f"{where}: {column!r} is {path!r}, not the path of an audio file.",
            remedy="Write the path, relative to this list or absolute, or take the line out.",
        )
    return path


def _read_seconds(cells: Mapping[str, Any], column: str | None, where: str) -> float | None:
    value = cells.get(column) if column else None
    if value is None or value == "":
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise DataError(
            f"{where}: {column!r} is {value!r}, not a number of seconds.",
            remedy="Write seconds from 0 up, or leave it out: it is then read from the audio.",
        )
    return seconds


def _first(wanted: Iterable[str], names: Sequence[str]) -> str | None:
    return next((name for name in wanted if name in names), None)

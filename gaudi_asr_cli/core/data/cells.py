"""Audio that is a cell of a Parquet or Arrow file: found by row, read when it is needed.

Arrow files are mapped into memory, so any row is at hand; of Parquet files the row groups read
last are kept, because a row can only be had by unpacking its whole group.
"""

from __future__ import annotations

import os
import threading
from functools import lru_cache
from pathlib import Path
from typing import Any

from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.records import AudioSpan

_OPEN_FILES = 256
_KEPT_ROW_GROUPS = 4
"""Of each process: Hugging Face writes groups of 100 rows, 10 to 50 MB of audio."""

_lock = threading.Lock()


def read_cell(span: AudioSpan) -> bytes | Path:
    """The encoded audio of the cell, or the path it names (relative to the file it stands in).

    Raises:
        DataError: The file cannot be read, or the cell holds neither bytes nor a path.
    """
    import pyarrow as pa

    if span.row is None or span.column is None:
        return span.path
    try:
        value = _read_value(span.path, span.row, span.column)
    except (OSError, pa.ArrowException, KeyError, IndexError) as error:
        raise DataError(
            f"{span.path}, row {span.row}: the column {span.column!r} cannot be read: {error}",
            remedy="The file has changed or is damaged: fetch or write it again.",
        ) from error
    return _audio_of(value, span)


def _audio_of(value: Any, span: AudioSpan) -> bytes | Path:
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, bytes):
        return value
    if isinstance(value, str) and value:
        return span.path.parent / value
    raise DataError(
        f"{span.path}, row {span.row}: the column {span.column!r} holds no audio.",
        remedy="An audio cell holds bytes or a path; take the row out of the data.",
    )


def _read_value(path: Path, row: int, column: str) -> Any:
    # One at a time: a Parquet reader is not made for threads, and two threads that want one row
    # group would both unpack it.
    with _lock:
        if path.suffix == ".arrow":
            return _map_arrow(path)[column][row].as_py()
        group, offset = _find_group(_open_parquet(path).metadata, row)
        return _load_group(path, group, column)[offset].as_py()


@lru_cache(maxsize=_OPEN_FILES)
def _map_arrow(path: Path) -> Any:
    return open_arrow_table(path)


@lru_cache(maxsize=_OPEN_FILES)
def _open_parquet(path: Path) -> Any:
    import pyarrow.parquet as pq

    return pq.ParquetFile(path)


@lru_cache(maxsize=_KEPT_ROW_GROUPS)
def _load_group(path: Path, group: int, column: str) -> Any:
    return _open_parquet(path).read_row_group(group, columns=[column])[column]


def _find_group(metadata: Any, row: int) -> tuple[int, int]:
    """The row group that holds `row`, and the row's place in it."""
    for group in range(metadata.num_row_groups):
        rows = metadata.row_group(group).num_rows
        if row < rows:
            return group, row
        row -= rows
    raise IndexError(f"there are only {metadata.num_rows} rows")


def _forget_open_files() -> None:
    """A forked data loader must share neither open files nor a lock that a thread held."""
    global _lock
    _lock = threading.Lock()
    for cache in (_map_arrow, _open_parquet, _load_group):
        cache.cache_clear()


os.register_at_fork(after_in_child=_forget_open_files)


def open_arrow_table(path: Path) -> Any:
    """An Arrow file mapped into memory, in the streaming format (as `datasets` writes) or not."""
    import pyarrow as pa

    try:
        return pa.ipc.open_stream(pa.memory_map(str(path))).read_all()
    except pa.ArrowInvalid:
        return pa.ipc.open_file(pa.memory_map(str(path))).read_all()

"""Audio in a cell of a Parquet or Arrow file: located by row, read when it is needed.

Arrow files are memory-mapped, so every row is directly accessible; of Parquet files the most
recent row groups are cached, because a row can only be read by decompressing its whole group.
"""

from __future__ import annotations

import io
import os
import threading
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gaudi_asr_cli.core.data.listed_paths import find_file
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.records import AudioSpan

if TYPE_CHECKING:
    from numpy.typing import NDArray

_OPEN_FILES = 256
_RATE_COLUMNS = ("sampling_rate", "sample_rate", "samplerate", "rate", "sr")
_HIGHEST_RATE_HZ = 2**31
_KEPT_ROW_GROUPS = 4
"""Per process: Hugging Face writes groups of 100 rows, 10 to 50 MB of audio."""

_lock = threading.Lock()


def read_cell(span: AudioSpan) -> bytes | Path:
    """Return the encoded audio of the cell, or the path in it (relative to the table's folder).

    Raises:
        DataError: The file cannot be read, or the cell holds neither bytes nor a path nor samples.
    """
    import pyarrow as pa

    if span.row is None or span.column is None:
        return span.path
    try:
        value = _read_value(span.path, span.row, span.column)
        if _holds_samples(value):
            return _encode_samples(value, span)
        return _audio_of(value.as_py(), span)
    except (OSError, pa.ArrowException, KeyError, IndexError) as error:
        raise DataError(
            f"{span.path}, row {span.row}: the column {span.column!r} cannot be read: {error}",
            remedy="The file has changed or is damaged: download or write it again.",
        ) from error


def _audio_of(value: Any, span: AudioSpan) -> bytes | Path:
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, bytes):
        return value
    if isinstance(value, str) and value:
        try:
            return find_file(span.path.parent, value)
        except ValueError as error:
            raise _no_audio(span, str(error)) from error
    raise _no_audio(span, "it holds no audio")


def _no_audio(span: AudioSpan, problem: str) -> DataError:
    return DataError(
        f"{span.path}, row {span.row}, column {span.column!r}: {problem}.",
        remedy="An audio cell holds bytes, a path, or samples with their rate; remove the row "
        "from the data.",
    )


def _holds_samples(value: Any) -> bool:
    """Return whether the Arrow value is a list of numbers, or a struct with a list that is set."""
    import pyarrow as pa

    kind = value.type
    if pa.types.is_struct(kind) and value.is_valid and kind.get_field_index("array") >= 0:
        return not _has_content(value) and bool(value["array"].is_valid)
    return _is_list(kind) and bool(value.is_valid)


def _has_content(value: Any) -> bool:
    names = {field.name for field in value.type}
    return any(value[name].as_py() for name in ("bytes", "path") if name in names)


def _is_list(kind: Any) -> bool:
    import pyarrow as pa

    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def _encode_samples(value: Any, span: AudioSpan) -> bytes:
    """Write decoded samples as a float wav, which is lossless."""
    import soundfile

    is_struct = not _is_list(value.type)
    array = value["array"] if is_struct else value
    rate_hz = _find_rate(value if is_struct else None, span)
    samples = _to_float(array, span)
    encoded = io.BytesIO()
    soundfile.write(encoded, samples, rate_hz, format="WAV", subtype="FLOAT")
    return encoded.getvalue()


def _to_float(array: Any, span: AudioSpan) -> NDArray[np.float32]:
    """Return samples (T,) or (T, C) as float32; integers are divided by their full scale."""
    values = array.values
    if _is_list(values.type):
        rows = [_to_float(row, span) for row in values]
        if len({len(row) for row in rows}) != 1:
            raise _no_audio(span, "its channels differ in length")
        samples = np.stack(rows)
        # (C, T), as `datasets` writes it, unless that would be more channels than samples.
        return samples.T if samples.shape[0] < samples.shape[1] else samples
    numbers: NDArray[Any] = values.to_numpy(zero_copy_only=False)
    if numbers.dtype.kind not in "fi" or len(numbers) == 0:
        raise _no_audio(span, f"it holds {len(numbers)} samples of {numbers.dtype}")
    if numbers.dtype.kind == "i":
        return np.asarray(numbers / _full_scale(numbers), dtype=np.float32)
    return np.asarray(numbers, dtype=np.float32)


def _full_scale(samples: NDArray[Any]) -> int:
    """Return the value of full scale: of 16 bits, unless the type is smaller or a sample larger.

    Python's integers become int64 in Arrow, so that the type says nothing of the samples' width.
    """
    of_type = int(np.iinfo(samples.dtype).max) + 1
    peak = max(abs(int(samples.min())), abs(int(samples.max())))
    wide = (scale for scale in (2**15, 2**23, 2**31) if peak <= scale)
    return min(of_type, next(wide, of_type))


def _find_rate(struct: Any, span: AudioSpan) -> int:
    """Return the sample rate: from the struct of the samples, or from a column of the row."""
    if struct is not None:
        names = [name for name in _RATE_COLUMNS if struct.type.get_field_index(name) >= 0]
        rate = struct[names[0]].as_py() if names else None
    else:
        names = [name for name in _RATE_COLUMNS if name in _column_names(span.path)]
        row = span.row or 0
        rate = _read_value(span.path, row, names[0]).as_py() if names else None
    if not isinstance(rate, int | float) or not 0 < rate < _HIGHEST_RATE_HZ or rate != int(rate):
        problem = (
            f"{names[0]!r} is {rate!r}" if names else "no column sampling_rate gives their rate"
        )
        raise _no_audio(span, f"it holds samples, and {problem}")
    return int(rate)


def _column_names(path: Path) -> list[str]:
    with _lock:
        if path.suffix == ".arrow":
            return list(_map_arrow(path).schema.names)
        return list(_open_parquet(path).schema_arrow.names)


def _read_value(path: Path, row: int, column: str) -> Any:
    # One at a time: a Parquet reader is not thread-safe, and two threads that need the same row
    # group would both decompress it.
    with _lock:
        if path.suffix == ".arrow":
            return _map_arrow(path)[column][row]
        group, offset = _find_group(_open_parquet(path).metadata, row)
        return _load_group(path, group, column)[offset]


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
    """Return the row group that holds `row`, and the row's offset in it."""
    for group in range(metadata.num_row_groups):
        rows = metadata.row_group(group).num_rows
        if row < rows:
            return group, row
        row -= rows
    raise IndexError(f"there are only {metadata.num_rows} rows")


def _forget_open_files() -> None:
    """Drop open files and the lock, which a forked data loader must not share with its parent."""
    global _lock
    _lock = threading.Lock()
    for cache in (_map_arrow, _open_parquet, _load_group):
        cache.cache_clear()


os.register_at_fork(after_in_child=_forget_open_files)


def open_arrow_table(path: Path) -> Any:
    """Memory-map an Arrow file, in the streaming format (of `datasets`) or the file format."""
    import pyarrow as pa

    try:
        return pa.ipc.open_stream(pa.memory_map(str(path))).read_all()
    except pa.ArrowInvalid:
        return pa.ipc.open_file(pa.memory_map(str(path))).read_all()

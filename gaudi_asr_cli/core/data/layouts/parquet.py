"""The `parquet` layout: Parquet or Arrow files with an audio column, whose bytes are read later."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from gaudi_asr_cli.core.data.cells import open_arrow_table
from gaudi_asr_cli.core.data.layouts.columns import (
    AUDIO_COLUMNS,
    SPEAKER_COLUMNS,
    TRACK_COLUMNS,
    Columns,
    find_first,
    find_rate_hz,
    find_text_column,
    read_text,
    read_track,
)
from gaudi_asr_cli.core.data.layouts.options import Layout, ReadOptions
from gaudi_asr_cli.core.data.layouts.splits import pick_split
from gaudi_asr_cli.core.data.layouts.times import TimeColumns, read_times, reject_unclear
from gaudi_asr_cli.core.data.rejected import RowError, reject_row
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.records import AudioSpan, Utterance

PARQUET_SUFFIXES = frozenset({".parquet", ".arrow"})

_SHARD = re.compile(r"^(?P<split>.+?)-\d{5}-of-\d{5}")
_BATCH_ROWS = 1000


def read_parquet(path: Path, options: ReadOptions) -> Iterator[Utterance]:
    """Read the rows of one file, or of the files of one split below a folder, in order.

    Raises:
        DataError: A file is damaged or has no audio or text column, or there are several splits
            and none is given.
    """
    root = path / options.config if options.config else path
    files = [root] if root.is_file() else pick_split(find_shards(root), options.split, path)
    _reject_several_folders(files, root)
    for file in files:
        yield from read_shard(file, options)


def _reject_several_folders(files: Sequence[Path], root: Path) -> None:
    """Reject a split in several folders: these are configurations, each a dataset of its own."""
    folders = sorted({file.parent.relative_to(root).as_posix() for file in files if file != root})
    if len(folders) > 1:
        raise DataError(
            f"{root}: the files of this split are in several folders: {', '.join(folders)}.",
            remedy=f"Give one with --config, for example {folders[0]}.",
        )


def find_shards(root: Path) -> dict[str, list[Path]]:
    """Return split -> files: train-00000-of-00002.parquet and train/0000.parquet are `train`."""
    shards: dict[str, list[Path]] = {}
    for file in sorted(p for p in root.rglob("*") if p.suffix in PARQUET_SUFFIXES):
        # `datasets` writes the results of map and filter next to the data.
        if not file.name.startswith("cache-"):
            shards.setdefault(_split_of(file, root), []).append(file)
    return shards


def _split_of(file: Path, root: Path) -> str:
    match = _SHARD.match(file.name)
    name = match["split"] if match else file.stem
    # save_to_disk names every shard data-..., the hub's converted files are 0000.parquet:
    # there the folder is the split.
    if name == "data" or name.isdigit():
        return file.parent.name if file.parent != root else root.name
    return name


def read_shard(file: Path, options: ReadOptions) -> Iterator[Utterance]:
    """Read the rows of one file as utterances; of the audio only the path is read.

    Raises:
        DataError: The file is damaged, or has no audio or text column.
    """
    import pyarrow as pa

    try:
        names, audio = _find_columns(file)
        column = audio.split(".")[0]
        text = find_text_column(names, options, str(file))
        found = Columns(
            column,
            text,
            find_first(SPEAKER_COLUMNS, names),
            id=None,
            track=find_first(TRACK_COLUMNS, [one for one in names if one not in (column, text)]),
            times=_find_times(names, column, options),
        )
        extra = [name for name in (found.text, found.speaker, found.track) if name]
        for number, cells in enumerate(_iterate_rows(file, audio, [*extra, *found.times.names])):
            reject_unclear(cells, found.times, f"{file}, row {number}")
            yield _read_row(cells, file, number, found)
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"{file}: {error}.",
            remedy="Is the file complete? Download or write it again.",
        ) from error


def _find_times(names: Sequence[str], audio: str, options: ReadOptions) -> TimeColumns:
    times = TimeColumns.find([name for name in names if name not in (audio, options.text_column)])
    # Columns of a hub dataset cannot be renamed, and `length` there is that of the text.
    return times.without_length()


def _find_columns(file: Path) -> tuple[list[str], str]:
    """Return the names of all columns and of the audio column, with `.path` if it has paths.

    Raises:
        DataError: There is no audio column.
    """
    import pyarrow as pa

    schema = _read_schema(file)
    repeated = next((name for name in schema.names if schema.names.count(name) > 1), None)
    if repeated is not None:
        raise DataError(
            f"{file}: two columns are named {repeated!r}.", remedy="Write it with one of them."
        )
    for name in [*AUDIO_COLUMNS, *schema.names]:
        if name not in schema.names:
            continue
        kind = schema.field(name).type
        if pa.types.is_struct(kind):
            inner = {kind.field(i).name for i in range(kind.num_fields)}
            if inner & {"bytes", "path", "array"}:
                return list(schema.names), f"{name}.path" if "path" in inner else name
        elif name in AUDIO_COLUMNS:
            return list(schema.names), name
    raise DataError(
        f"{file}: there is no audio column; the columns are {', '.join(schema.names)}.",
        remedy="Audio is a column of {bytes, path} or {array, sampling_rate}, of bytes, of paths, "
        "or of lists of samples with a column sampling_rate; name it `audio`.",
    )


def _read_schema(file: Path) -> Any:
    if file.suffix == ".arrow":
        return open_arrow_table(file).schema
    import pyarrow.parquet as pq

    return pq.read_schema(file)


def _iterate_rows(file: Path, audio: str, others: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield cells by column; audio bytes are neither read nor copied."""
    column, _, field = audio.partition(".")
    for batch in _iterate_batches(file, [audio, *others]):
        lists = {name: batch.column(name).to_pylist() for name in others}
        cells = batch.column(column)
        lists[column] = cells.field(field).to_pylist() if field else _paths_only(cells)
        for values in zip(*lists.values(), strict=True):
            yield dict(zip(lists, values, strict=True))


def _paths_only(cells: Any) -> list[str | None]:
    import pyarrow as pa

    is_path = pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type)
    return cells.to_pylist() if is_path else [None] * len(cells)


def _iterate_batches(file: Path, columns: list[str]) -> Iterator[Any]:
    if file.suffix == ".arrow":
        yield from open_arrow_table(file).to_batches()
        return
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as opened:
        yield from opened.iter_batches(_BATCH_ROWS, columns=columns)


def _read_row(cells: dict[str, Any], file: Path, number: int, columns: Columns) -> Utterance:
    path, origin = cells[columns.audio or ""], f"{file}, row {number}"
    name = Path(path).stem if path else f"{file.stem}-{number:06d}"
    span = AudioSpan(file, row=number, column=columns.audio)
    try:
        start_s, duration_s = read_times(cells, columns.times, partial(find_rate_hz, span))
        return Utterance(
            name,
            replace(
                span,
                start_s=start_s,
                duration_s=duration_s,
                track=read_track(cells, columns.track),
            ),
            text=read_text(cells[columns.text] if columns.text else None, columns.text),
            speaker=read_text(cells.get(columns.speaker or "") or None, columns.speaker),
            origin=origin,
        )
    except RowError as error:
        text = cells.get(columns.text or "")
        return reject_row(origin, error, span, name, text if isinstance(text, str) else None)


def detect_parquet(path: Path) -> bool:
    """Return whether a directory holds Parquet or Arrow files, or a file is called like one."""
    if path.is_dir():
        return bool(find_shards(path))
    return path.suffix.lower() in PARQUET_SUFFIXES


PARQUET = Layout(read_parquet, detect_parquet)

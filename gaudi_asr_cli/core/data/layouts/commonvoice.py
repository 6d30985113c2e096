"""The `commonvoice` layout: a release folder with train.tsv, dev.tsv, test.tsv and clips/."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gaudi_asr_cli.core.data.layouts.columns import Row, read_rows
from gaudi_asr_cli.core.data.layouts.options import Layout, ReadOptions
from gaudi_asr_cli.core.data.layouts.splits import pick_split
from gaudi_asr_cli.core.data.layouts.table import read_table_rows
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.records import Utterance

_DURATIONS = "clip_durations.tsv"
_DURATION_COLUMN = "duration[ms]"


def read_commonvoice(path: Path, options: ReadOptions) -> Iterator[Utterance]:
    """Read `path`, `sentence` and `client_id` of a TSV; durations from clip_durations.tsv if any.

    Raises:
        DataError: No such split or language, or a broken line.
    """
    if path.is_file():
        root, file = path.parent, path
    else:
        root = _find_release(path, options.config)
        file = pick_split(_find_splits(root), options.split, path)
    rows = read_table_rows(file)
    yield from read_rows(_add_durations(rows, root), file, root / "clips", options)


def holds_release(directory: Path) -> bool:
    """Return whether this is a release folder, or the parent of one or more of them."""
    return bool(_find_releases(directory))


def _find_releases(directory: Path) -> dict[str, Path]:
    if _is_release(directory):
        return {directory.name: directory}
    return {d.name: d for d in sorted(directory.glob("*")) if _is_release(d)}


def _is_release(directory: Path) -> bool:
    return (directory / "clips").is_dir() and next(directory.glob("*.tsv"), None) is not None


def _find_release(path: Path, language: str | None) -> Path:
    releases = _find_releases(path)
    if language is None and len(releases) != 1:
        raise DataError(
            f"{path} holds {len(releases)} release folders.",
            remedy=f"Name the language with --config: {', '.join(releases) or 'there is none'}.",
        )
    return pick_split(releases, language if len(releases) > 1 else None, path)


def _find_splits(root: Path) -> dict[str, Path]:
    return {file.stem: file for file in sorted(root.glob("*.tsv")) if has_sentences(file)}


def has_sentences(file: Path) -> bool:
    """Return whether this is a list of clips, by its first line."""
    with file.open("rb") as opened:
        columns = opened.readline(65_536).rstrip().split(b"\t")
    return b"path" in columns and b"sentence" in columns


def _add_durations(rows: Iterator[Row], root: Path) -> Iterator[Row]:
    durations_ms = _read_durations_ms(root / _DURATIONS)
    for line, cells in rows:
        yield line, _complete(dict(cells), durations_ms)


def _complete(cells: dict[str, Any], durations_ms: dict[str, float]) -> dict[str, Any]:
    name = cells.get("path") or ""
    # Before release 5 the names had no suffix.
    if name and not Path(name).suffix:
        cells["path"] = name = f"{name}.mp3"
    if name in durations_ms:
        cells["duration"] = durations_ms[name] / 1000
    return cells


def _read_durations_ms(path: Path) -> dict[str, float]:
    if not path.is_file():
        return {}
    rows = read_table_rows(path)
    try:
        return {cells["clip"]: float(cells[_DURATION_COLUMN]) for _, cells in rows}
    except (KeyError, ValueError) as error:
        raise DataError(
            f"{path}: {error} where clip and {_DURATION_COLUMN} should be.",
            remedy="Remove the file: durations are then read from the clips, which takes longer.",
        ) from error


def detect_commonvoice(path: Path) -> bool:
    """Return whether a directory is a release or holds some, or a file is a split of one."""
    if path.is_dir():
        return holds_release(path)
    in_release = path.suffix.lower() == ".tsv" and (path.parent / "clips").is_dir()
    return in_release and has_sentences(path)


COMMONVOICE = Layout(read_commonvoice, detect_commonvoice, aliases=("cv",), has_split_tables=True)

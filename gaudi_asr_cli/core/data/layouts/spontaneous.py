"""The `spontaneous` layout of Common Voice: ss-corpus-LANGUAGE.tsv and audios/."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from gaudi_asr_cli.core.data.layouts.columns import Row, read_rows
from gaudi_asr_cli.core.data.layouts.options import Layout, ReadOptions
from gaudi_asr_cli.core.data.layouts.splits import find_split_name, pick_split
from gaudi_asr_cli.core.data.layouts.table import read_table_rows
from gaudi_asr_cli.core.records import Utterance


def read_spontaneous(path: Path, options: ReadOptions) -> Iterator[Utterance]:
    """Read the answers with a transcription, of one split if it is given, else all.

    Raises:
        DataError: No such split or language, or a broken line.
    """
    file = path if path.is_file() else _find_corpus(path, options.config)
    rows = read_table_rows(file)
    if options.split is not None:
        rows = _of_split(list(rows), options.split, file)
    complete = ((line, _without_empty_text(cells)) for line, cells in rows)
    yield from read_rows(complete, file, file.parent / "audios", replace(options, split=None))


def find_spontaneous(path: Path) -> dict[str, Path]:
    """Return language -> corpus file: in `path` itself, or in its sub-folders."""
    for pattern in ("ss-corpus-*.tsv", "*/ss-corpus-*.tsv"):
        files = sorted(file for file in path.glob(pattern) if is_spontaneous(file))
        if files:
            return {file.stem.removeprefix("ss-corpus-"): file for file in files}
    return {}


def is_spontaneous(file: Path) -> bool:
    """Return whether the file is a list of answers, with its audio in audios/."""
    if not (file.parent / "audios").is_dir():
        return False
    with file.open("rb") as opened:
        columns = opened.readline(65_536).rstrip().split(b"\t")
    return b"audio_file" in columns and b"transcription" in columns


def _find_corpus(path: Path, language: str | None) -> Path:
    return pick_split(find_spontaneous(path), language, path)


def _without_empty_text(cells: Mapping[str, Any]) -> dict[str, Any]:
    """Return the cells with None for an empty transcription: not transcribed yet, not silence."""
    text = cells.get("transcription")
    return {**cells, "transcription": text if text and text.strip() else None}


def _of_split(rows: Collection[Row], wanted: str, file: Path) -> Iterator[Row]:
    counts = Counter(str(cells.get("split") or "") for _, cells in rows)
    split = find_split_name([name for name in counts if name], wanted, file)
    return (row for row in rows if row[1].get("split") == split)


def detect_spontaneous(path: Path) -> bool:
    """Return whether a directory holds corpus files, or a file is one."""
    if path.is_dir():
        return bool(find_spontaneous(path))
    return path.suffix.lower() == ".tsv" and is_spontaneous(path)


SPONTANEOUS = Layout(read_spontaneous, detect_spontaneous, has_split_tables=True)

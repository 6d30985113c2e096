"""The `manifest` layout: JSON lines, NeMo style, or a folder with one such file per split."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gaudi_asr_cli.core.data.layouts.columns import AUDIO_COLUMNS, Row, read_rows
from gaudi_asr_cli.core.data.layouts.lines import read_lines
from gaudi_asr_cli.core.data.layouts.options import Layout, ReadOptions
from gaudi_asr_cli.core.data.layouts.splits import pick_split
from gaudi_asr_cli.core.data.rejected import make_printable
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.records import Utterance

MANIFEST_SUFFIXES = frozenset({".jsonl", ".json", ".ndjson"})


def read_manifest(path: Path, options: ReadOptions) -> Iterator[Utterance]:
    """Read `audio_filepath`, `text`, `duration`, `offset`, `speaker`; paths relative to the file.

    Raises:
        DataError: A line is broken or lacks a key; the error names its number.
    """
    file = pick_split(find_manifests(path), options.split, path) if path.is_dir() else path
    yield from read_rows(read_json_lines(file), file, file.parent, options)


def read_json_lines(path: Path) -> Iterator[Row]:
    for number, line in read_lines(path):
        yield number, _parse(line, path, number)


def find_manifests(directory: Path) -> dict[str, Path]:
    """Return split -> manifest; train_manifest.jsonl and manifest_train.jsonl are `train` too."""
    files = sorted(p for p in directory.glob("*.jsonl") if _looks_like_manifest(p))
    return {_split_of(file): file for file in files}


def _split_of(file: Path) -> str:
    return file.stem.replace("manifest", "").strip("_-.") or file.stem


def _looks_like_manifest(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.readline(65_536)
    return start.lstrip(b"\xef\xbb\xbf \t").startswith(b"{") and b'"audio_filepath"' in start


def _parse(line: str, path: Path, number: int) -> dict[str, Any]:
    try:
        value = json.loads(line, object_pairs_hook=_reject_repeated_keys)
    except json.JSONDecodeError as error:
        problem = f"{error.msg} at column {error.colno}"
    except RecursionError:
        problem = "lists or objects nested too deeply"
    except ValueError as error:
        # A repeated key, or a number with more digits than Python reads.
        problem = str(error).split(";")[0]
    else:
        if isinstance(value, dict):
            return _flatten(value)
        problem = f"a {type(value).__name__} instead of an object"
    raise DataError(
        f"{path}, line {number}: broken JSON: {problem}.",
        remedy='Every line is an object: {"audio_filepath": "a.wav", "duration": 1.5, "text": "a"}',
    )


def _flatten(cells: dict[str, Any]) -> dict[str, Any]:
    """Flatten an audio object such as `{"audio": {"path": "a.wav", "start_time": 1}}`."""
    for name in AUDIO_COLUMNS:
        inner = cells.get(name)
        if isinstance(inner, dict) and isinstance(inner.get("path"), str):
            more = {f"audio_{key}": value for key, value in inner.items() if key != "path"}
            return {**more, **cells, name: inner["path"]}
    return cells


def _reject_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {make_printable(repeated)!r} occurs twice in one object")
    for name in found:
        if not name.isascii() and make_printable(name) != name:
            raise ValueError(f"the key {make_printable(name)} holds a lone surrogate")
    return found


def detect_manifest(path: Path) -> bool:
    """Return whether a directory holds manifests, or a file is called like one."""
    if path.is_dir():
        return bool(find_manifests(path))
    return path.suffix.lower() in MANIFEST_SUFFIXES


MANIFEST = Layout(read_manifest, detect_manifest, aliases=("jsonl",))

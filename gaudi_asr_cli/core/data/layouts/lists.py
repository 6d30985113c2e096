"""Tables and manifests in a folder of audio."""

from __future__ import annotations

import json
from pathlib import Path

from gaudi_asr_cli.core.data.layouts import manifest, table
from gaudi_asr_cli.core.data.layouts.columns import AUDIO_COLUMNS, TEXT_COLUMNS

_START_BYTES = 65_536


def find_lists(folder: Path) -> list[Path]:
    """Return the files directly in `folder` whose first line has an audio and a text column."""
    suffixes = table.TABLE_SUFFIXES | manifest.MANIFEST_SUFFIXES
    return [
        file
        for file in sorted(folder.iterdir())
        if file.suffix.lower() in suffixes and file.is_file() and _names_audio(file)
    ]


def _names_audio(file: Path) -> bool:
    with file.open("rb") as opened:
        first = opened.readline(_START_BYTES).decode("utf-8-sig", "replace").strip()
    names = _read_keys(first) if file.suffix.lower() in manifest.MANIFEST_SUFFIXES else _cut(first)
    return not (names.isdisjoint(AUDIO_COLUMNS) or names.isdisjoint(TEXT_COLUMNS))


def _read_keys(line: str) -> set[str]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return set()
    return set(value) if isinstance(value, dict) else set()


def _cut(line: str) -> set[str]:
    for separator in ";|\t":
        line = line.replace(separator, ",")
    return {cell.strip().strip('"') for cell in line.split(",")}

"""The `audiofolder` layout of Hugging Face: metadata.csv or metadata.jsonl next to the audio."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gaudi_asr_cli.core.data.layouts.columns import read_rows
from gaudi_asr_cli.core.data.layouts.manifest import read_json_lines
from gaudi_asr_cli.core.data.layouts.options import Layout, ReadOptions
from gaudi_asr_cli.core.data.layouts.splits import pick_split
from gaudi_asr_cli.core.data.layouts.table import read_table_rows
from gaudi_asr_cli.core.records import Utterance

_NAMES = ("metadata.csv", "metadata.jsonl", "metadata.tsv")


def read_audiofolder(path: Path, options: ReadOptions) -> Iterator[Utterance]:
    """Read `file_name`, relative to the metadata, and a text column.

    Raises:
        DataError: There is no metadata, several splits and none named, or a broken line.
    """
    root = path / options.config if options.config else path
    file = pick_split(find_metadata(root), options.split, path)
    rows = read_json_lines(file) if file.suffix == ".jsonl" else read_table_rows(file)
    yield from read_rows(rows, file, file.parent, options)


def find_metadata(directory: Path) -> dict[str, Path]:
    """Return split -> metadata file: of the folder, else of its sub-folders (or of data/)."""
    for parent, pattern in ((directory, ""), (directory, "*/"), (directory / "data", "*/")):
        files = [f for name in _NAMES for f in sorted(parent.glob(f"{pattern}{name}"))]
        found = {file.parent.name: file for file in files if _names_files(file)}
        if found:
            return found
    return {}


def find_other_metadata(file: Path) -> list[Path]:
    """Return the metadata files next to the one that is read."""
    siblings = (file.with_name(name) for name in _NAMES)
    return [
        other for other in siblings if other != file and other.is_file() and _names_files(other)
    ]


def _names_files(file: Path) -> bool:
    """Return whether the first line names columns: LJSpeech's metadata.csv has no header."""
    with file.open("rb") as opened:
        return b"file_name" in opened.readline(65_536)


def detect_audiofolder(path: Path) -> bool:
    """Return whether a directory holds metadata that names files."""
    return path.is_dir() and bool(find_metadata(path))


AUDIOFOLDER = Layout(read_audiofolder, detect_audiofolder, lists_all_audio=True)

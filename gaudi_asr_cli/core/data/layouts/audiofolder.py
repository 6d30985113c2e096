"""The `audiofolder` layout of Hugging Face: metadata.csv or metadata.jsonl beside the audio."""

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
    """`file_name` relative to the metadata, and a column of text.

    Raises:
        DataError: There is no metadata, several splits and none named, or a broken line.
    """
    root = path / options.config if options.config else path
    file = pick_split(find_metadata(root), options.split, path)
    rows = read_json_lines(file) if file.suffix == ".jsonl" else read_table_rows(file)
    yield from read_rows(rows, file, file.parent, options)


def find_metadata(directory: Path) -> dict[str, Path]:
    """Split -> metadata file: that of the folder itself, else one a sub-folder (or of data/)."""
    for parent, pattern in ((directory, ""), (directory, "*/"), (directory / "data", "*/")):
        files = [f for name in _NAMES for f in sorted(parent.glob(f"{pattern}{name}"))]
        found = {file.parent.name: file for file in files if _names_files(file)}
        if found:
            return found
    return {}


def find_rivals(file: Path) -> list[Path]:
    """Return the other metadata files beside the one that is read."""
    beside = (file.with_name(name) for name in _NAMES)
    return [other for other in beside if other != file and other.is_file() and _names_files(other)]


def _names_files(file: Path) -> bool:
    """LJSpeech has a metadata.csv too, of another kind: without a line that names columns."""
    with file.open("rb") as opened:
        return b"file_name" in opened.readline(65_536)


def detect_audiofolder(path: Path) -> bool:
    """Return whether a directory holds metadata that names files."""
    return path.is_dir() and bool(find_metadata(path))


AUDIOFOLDER = Layout(read_audiofolder, detect_audiofolder, lists_all_audio=True)

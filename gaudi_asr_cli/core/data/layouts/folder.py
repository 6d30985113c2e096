"""The `folder` layout: audio files, with NAME.txt beside each where there is text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gaudi_asr_cli.core.data.layouts.lines import read_lines
from gaudi_asr_cli.core.data.layouts.options import ReadOptions
from gaudi_asr_cli.core.data.layouts.splits import find_split_name
from gaudi_asr_cli.core.records import AudioSpan, Utterance

AUDIO_SUFFIXES = frozenset(
    {
        *(".3gp", ".aac", ".ac3", ".aif", ".aifc", ".aiff", ".amr", ".au", ".caf", ".flac"),
        *(".m4a", ".m4b", ".mka", ".mkv", ".mov", ".mp2", ".mp3", ".mp4", ".oga", ".ogg"),
        *(".opus", ".snd", ".sph", ".w64", ".wav", ".webm", ".wma"),
    }
)
"""What the `folder` layout takes for audio; the decoders look at the content, not at the name."""


def read_folder(path: Path, options: ReadOptions) -> Iterator[Utterance]:
    """Every audio file below `path` in the order of its name, or the one file that `path` is.

    Raises:
        DataError: There is no sub-folder of the split's name, or a text is not UTF-8.
    """
    if options.split is not None:
        folders = {child.name for child in path.iterdir() if child.is_dir()}
        path = path / find_split_name(folders, options.split, path)
    for file in find_audio_files(path):
        yield Utterance(file.stem, AudioSpan(file), text=_read_text(file))


def find_audio_files(path: Path) -> Iterator[Path]:
    """Audio files by their suffix, folder by folder; hidden ones are left out."""
    if path.is_file():
        yield path
        return
    entries = sorted(child for child in path.iterdir() if not child.name.startswith("."))
    for child in entries:
        if child.suffix.lower() in AUDIO_SUFFIXES and child.is_file():
            yield child
    for child in entries:
        # A link to a folder above would be followed for ever.
        if child.is_dir() and not child.is_symlink():
            yield from find_audio_files(child)


def _read_text(file: Path) -> str | None:
    beside = file.with_suffix(".txt")
    if not beside.is_file():
        return None
    return "\n".join(line for _, line in read_lines(beside)).strip()

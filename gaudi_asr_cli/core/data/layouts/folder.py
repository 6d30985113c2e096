"""The `folder` layout: audio files, with NAME.txt beside each where there is text."""

from __future__ import annotations

import os
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

LISTED_SUFFIXES = AUDIO_SUFFIXES | {".raw", ".pcm"}
"""What a folder gives: samples without a header too, so that they are rejected by name."""


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
    """Yield what is called as audio is, folder by folder; hidden ones are left out.

    What turns out to be no file, or a folder that cannot be opened, is given like a file: whoever
    measures it says what is wrong with it, and the others are read.
    """
    if path.is_file():
        yield path
        return
    yield from _walk(path, _list_visible(path))


def _walk(folder: Path, entries: list[Path]) -> Iterator[Path]:
    # Path.is_dir raises where a folder may not be searched.
    folders = [child for child in entries if os.path.isdir(child)]  # noqa: PTH112
    for child in entries:
        if child.suffix.lower() in LISTED_SUFFIXES and child not in folders:
            yield child
    for child in folders:
        # A link to a folder above would be followed for ever.
        if not child.is_symlink():
            yield from _walk_inner(child)


def _walk_inner(folder: Path) -> Iterator[Path]:
    try:
        entries = _list_visible(folder)
    except OSError:
        yield folder
        return
    found = False
    for file in _walk(folder, entries):
        found = True
        yield file
    if not found and folder.suffix.lower() in AUDIO_SUFFIXES:
        yield folder


def _list_visible(folder: Path) -> list[Path]:
    return sorted(child for child in folder.iterdir() if not child.name.startswith("."))


def _read_text(file: Path) -> str | None:
    beside = file.with_suffix(".txt")
    if not beside.is_file():
        return None
    return "\n".join(line for _, line in read_lines(beside)).strip()

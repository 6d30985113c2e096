"""The `folder` layout: audio files, each with its text in NAME.txt next to it, if any."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from gaudi_asr_cli.core.data.layouts.lines import read_lines
from gaudi_asr_cli.core.data.layouts.options import Layout, ReadOptions
from gaudi_asr_cli.core.data.layouts.splits import find_split_name
from gaudi_asr_cli.core.records import AudioSpan, Utterance

AUDIO_SUFFIXES = frozenset(
    {
        *(".3gp", ".aac", ".ac3", ".aif", ".aifc", ".aiff", ".amr", ".au", ".caf", ".flac"),
        *(".m4a", ".m4b", ".mka", ".mkv", ".mov", ".mp2", ".mp3", ".mp4", ".oga", ".ogg"),
        *(".opus", ".snd", ".sph", ".w64", ".wav", ".webm", ".wma"),
    }
)
"""Suffixes that the `folder` layout takes for audio; decoders look at the content instead."""

LISTED_SUFFIXES = AUDIO_SUFFIXES | {".raw", ".pcm"}
"""What a folder gives: samples without a header too, so that they are rejected by name."""


def read_folder(path: Path, options: ReadOptions) -> Iterator[Utterance]:
    """Read every audio file below `path` in order of names, or the file that `path` is.

    Raises:
        DataError: There is no sub-folder of the split's name, or a text is not UTF-8.
    """
    if options.split is not None:
        folders = {child.name for child in path.iterdir() if child.is_dir()}
        path = path / find_split_name(folders, options.split, path)
    for file in find_audio_files(path):
        yield Utterance(file.stem, AudioSpan(file), text=_read_text(file))


def find_audio_files(path: Path) -> Iterator[Path]:
    """Yield the files with an audio suffix, folder by folder, without hidden ones.

    A path that is not a file, or a folder that cannot be opened, is yielded like a file: measuring
    it reports the error, and the other files are read.
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
        # A link to a parent folder would be followed for ever.
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
    text_file = file.with_suffix(".txt")
    if not text_file.is_file():
        return None
    return "\n".join(line for _, line in read_lines(text_file)).strip()


def detect_folder(path: Path) -> bool:
    """Return whether a directory holds audio files, or a file is named like one."""
    if path.is_dir():
        return next(find_audio_files(path), None) is not None
    return path.suffix.lower() in AUDIO_SUFFIXES


FOLDER = Layout(read_folder, detect_folder)

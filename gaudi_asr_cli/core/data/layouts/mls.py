"""The `mls` layout, Multilingual LibriSpeech: SPLIT/transcripts.txt and SPLIT/audio/S/B/*.flac."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from gaudi_asr_cli.core.data.layouts.folder import AUDIO_SUFFIXES
from gaudi_asr_cli.core.data.layouts.lines import read_lines
from gaudi_asr_cli.core.data.layouts.options import Layout, ReadOptions
from gaudi_asr_cli.core.data.layouts.splits import pick_split
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.records import AudioSpan, Utterance


def read_mls(path: Path, options: ReadOptions) -> Iterator[Utterance]:
    """Read the transcripts of one split; the speaker is the first part of the utterance's id.

    Raises:
        DataError: Several splits and none given, a broken line, or a repeated id.
    """
    root = path / options.config if options.config else path
    split = pick_split(find_mls(root), options.split, path)
    transcripts = split / "transcripts.txt"
    list_book = cache(_list_book)
    lines: dict[str, int] = {}
    for line, entry in read_lines(transcripts):
        name, tab, text = entry.partition("\t")
        parts, where = name.split("_"), f"{transcripts}, line {line}"
        if not tab or len(parts) != 3 or not all(parts) or "\0" in name or "/" in name:
            raise DataError(
                f"{where}: {name[:60]!r} is not SPEAKER_BOOK_NUMBER followed by a tab.",
                remedy="Write: SPEAKER_BOOK_NUMBER, a tab, the text.",
            )
        if lines.setdefault(name, line) != line:
            raise DataError(
                f"{transcripts}: lines {lines[name]} and {line} have the same id, {name!r}.",
                remedy="Remove one of them.",
            )
        book = split / "audio" / parts[0] / parts[1]
        file = list_book(book).get(name, book / f"{name}.flac")
        yield Utterance(name, AudioSpan(file), text=text.strip(), speaker=parts[0], origin=where)


def find_mls(path: Path) -> dict[str, Path]:
    """Return split -> folder: `path` itself, or its sub-folders."""
    if _is_split(path):
        return {path.name: path}
    return {child.name: child for child in sorted(path.glob("*")) if _is_split(child)}


def _is_split(directory: Path) -> bool:
    return (directory / "transcripts.txt").is_file() and (directory / "audio").is_dir()


def _list_book(book: Path) -> dict[str, Path]:
    try:
        return {p.stem: p for p in sorted(book.iterdir()) if p.suffix.lower() in AUDIO_SUFFIXES}
    except OSError:
        # Missing, no permission, or too long a name: measuring reports it for each of its files.
        return {}


def detect_mls(path: Path) -> bool:
    """Return whether a directory is a split or holds some."""
    return path.is_dir() and bool(find_mls(path))


MLS = Layout(read_mls, detect_mls, lists_all_audio=True)

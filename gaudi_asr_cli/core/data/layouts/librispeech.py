"""The `librispeech` layout: SPEAKER/CHAPTER/SPEAKER-CHAPTER-NNNN.flac with *.trans.txt."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gaudi_asr_cli.core.data.layouts.folder import AUDIO_SUFFIXES
from gaudi_asr_cli.core.data.layouts.lines import read_lines
from gaudi_asr_cli.core.data.layouts.options import Layout, ReadOptions
from gaudi_asr_cli.core.data.layouts.splits import pick_split
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.records import AudioSpan, Utterance


def read_librispeech(path: Path, options: ReadOptions) -> Iterator[Utterance]:
    """Read chapter by chapter; the speaker is the first part of the utterance's id.

    Raises:
        DataError: There is no transcript, or there are several splits and none is given.
    """
    split = pick_split(find_librispeech(path), options.split, path)
    for transcript in sorted(split.glob("*/*/*.trans.txt")):
        yield from _read_chapter(transcript)


def find_librispeech(path: Path) -> dict[str, Path]:
    """Return split -> folder of speakers: `path`, or its sub-folders, or those of LibriSpeech/."""
    if _holds_speakers(path):
        return {path.name: path}
    for parent in (path, path / "LibriSpeech"):
        found = {d.name: d for d in sorted(parent.glob("*")) if d.is_dir() and _holds_speakers(d)}
        if found:
            return found
    return {}


def _holds_speakers(directory: Path) -> bool:
    return next(directory.glob("*/*/*.trans.txt"), None) is not None


def _read_chapter(transcript: Path) -> Iterator[Utterance]:
    chapter = transcript.parent
    files = {p.stem: p for p in chapter.iterdir() if p.suffix.lower() in AUDIO_SUFFIXES}
    for line, entry in read_lines(transcript):
        name, _, text = entry.partition(" ")
        speaker, dash, _ = name.partition("-")
        if not dash:
            raise DataError(
                f"{transcript}, line {line}: {name!r} is not SPEAKER-CHAPTER-NUMBER.",
                remedy="Correct the line: an id, a space, the text.",
            )
        # A missing file is reported when it is opened, with all the others.
        path = files.pop(name, chapter / f"{name}.flac")
        yield Utterance(name, AudioSpan(path), text=text.strip(), speaker=speaker)
    for name, path in sorted(files.items()):
        yield Utterance(name, AudioSpan(path), speaker=name.partition("-")[0])


def detect_librispeech(path: Path) -> bool:
    """Return whether a directory is a split or holds some."""
    return path.is_dir() and bool(find_librispeech(path))


LIBRISPEECH = Layout(read_librispeech, detect_librispeech)

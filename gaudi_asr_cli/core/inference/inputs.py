"""Inputs of `infer`: files, folders, globs and standard input."""

from __future__ import annotations

import errno
import glob
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

from gaudi_asr_cli.core.data.layouts.folder import AUDIO_SUFFIXES, LISTED_SUFFIXES
from gaudi_asr_cli.core.data.paths import expand_home, find_path_problem, shorten_path
from gaudi_asr_cli.core.data.raw import RAW_SUFFIXES
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.inference.work_queue import estimate_durations
from gaudi_asr_cli.core.records import AudioSpan, RawFormat, Utterance

STDIN = "-"
COPY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class AudioInputs:
    """Files to transcribe, in order, each once; `skipped` counts the other files of folders.

    `rejected` is, by utterance id, why a file cannot be read, as known without opening it. `root`
    is the folder that all sources lie in: the one that was named, or the innermost common one.
    """

    utterances: tuple[Utterance, ...]
    skipped: int = 0
    rejected: Mapping[str, str] = field(default_factory=dict)
    root: Path = field(default_factory=Path.cwd)

    @property
    def readable(self) -> tuple[Utterance, ...]:
        """The utterances that are not rejected."""
        return tuple(utt for utt in self.utterances if utt.id not in self.rejected)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A file under the name it is reported by; `problem` is why it cannot be read.

    `is_listed` is set for files found in a folder, `is_empty_source` for a source without files.
    """

    name: str
    path: Path
    problem: str | None = None
    is_listed: bool = False
    is_empty_source: bool = False


_Listing = tuple[list[_Entry], int]
"""The files of a source, and the number of other files in its folders."""


@contextmanager
def opened_inputs(
    sources: Sequence[str],
    stdin: BinaryIO | None,
    raw: RawFormat | None = None,
    track: int | str | None = None,
    listed: Sequence[str] = (),
) -> Iterator[AudioInputs]:
    """Find the files of the sources; standard input is copied to a temporary file.

    A folder gives every file below it with an audio suffix, sorted by path; a file named directly
    is always included. A path that does not exist or is not a file is `rejected`, and the others
    are read.

    Args:
        sources: Files, folders, globs, `-`.
        stdin: Standard input, for `-`; None where it is closed.
        raw: Sample format of headerless files: files with a suffix of such, files named directly
            without an audio suffix, and standard input.
        track: Number of the audio track to read, or the language by which one is preferred.
        listed: Files and folders of a list, whose names are taken as they are.

    Raises:
        DataError: There are only folders without audio, and globs that match nothing.
    """
    suffixes = LISTED_SUFFIXES if raw is None else AUDIO_SUFFIXES | RAW_SUFFIXES
    with TemporaryDirectory(prefix="gaudi-asr-") as scratch:
        entries: dict[str, _Entry] = {}
        skipped = 0
        bases: set[str] = set()

        def add(listing: _Listing) -> None:
            nonlocal skipped
            skipped += listing[1]
            for entry in listing[0]:
                entries.setdefault(entry.name, entry)

        for source in sources:
            if source == STDIN:
                add(([_copy_stdin(stdin, Path(scratch))], 0))
            else:
                add(_find_entries(source, suffixes))
                bases.add(_find_base(source))
        for name in listed:
            path = Path(name)
            add(_find_at(path, suffixes))
            bases.add(_folder_of(path) if path.is_absolute() else _listed_base(path))
        _reject_no_files(list(entries.values()))
        yield AudioInputs(
            tuple(Utterance(entry.name, _span_of(entry, raw, track)) for entry in entries.values()),
            skipped,
            {entry.name: entry.problem for entry in entries.values() if entry.problem is not None},
            Path(os.path.commonpath(bases)) if bases else Path.cwd(),
        )


def estimate_audio_s(utterances: Sequence[Utterance]) -> float:
    """Return the seconds of audio of files, from their headers as far as time allows, or sizes."""
    return sum(estimate_durations(utterances))


def _reject_no_files(entries: Sequence[_Entry]) -> None:
    if any(not entry.is_empty_source for entry in entries):
        return
    reasons = "; ".join(f"{shorten_path(entry.name)}: {entry.problem}" for entry in entries)
    raise DataError(
        f"There is no audio file to transcribe. {reasons}",
        remedy="Check the path; give the files themselves if they have unusual suffixes.",
    )


def _span_of(entry: _Entry, raw: RawFormat | None, track: int | str | None) -> AudioSpan:
    suffix = entry.path.suffix.lower()
    is_raw = suffix in RAW_SUFFIXES if entry.is_listed else suffix not in AUDIO_SUFFIXES
    return AudioSpan(entry.path, raw=raw if is_raw else None, track=track)


def _find_base(source: str) -> str:
    """Return the folder that a source names: itself, or the one that a file or glob lies in."""
    path = expand_home(source)
    if os.path.lexists(path) or not glob.has_magic(source):
        return _folder_of(path)
    plain = next(parent for parent in path.parents if not glob.has_magic(str(parent)))
    return os.path.abspath(plain)  # noqa: PTH100 - links are not resolved, `..` is


def _listed_base(path: Path) -> str:
    """Return the working directory for a relative name below it: parts of a list have one root."""
    folder, base = _folder_of(path), str(Path.cwd())
    return base if os.path.commonpath([folder, base]) == base else folder


def _folder_of(path: Path) -> str:
    absolute = os.path.abspath(path)  # noqa: PTH100 - links are not resolved, `..` is
    return absolute if os.path.isdir(absolute) else os.path.dirname(absolute)  # noqa: PTH112, PTH120


def _find_entries(source: str, suffixes: frozenset[str]) -> _Listing:
    if not source:
        return [_Entry("", Path(), "an empty name names no file.")], 0
    path = expand_home(source)
    if os.path.lexists(path) or not glob.has_magic(source):
        return _find_at(path, suffixes)
    entries: list[_Entry] = []
    skipped = 0
    for match in sorted(_expand(path)):
        found, other = _find_at(Path(match), suffixes)
        entries += found
        skipped += other
    return entries or [_empty_source(path, "no file matches it.")], skipped


def _find_at(path: Path, suffixes: frozenset[str]) -> _Listing:
    """Return a file, under any name, or the audio files of a folder."""
    # Path.is_dir raises where a name is too long.
    if not os.path.isdir(path):  # noqa: PTH112
        return [_Entry(str(path), path, find_path_problem(path))], 0
    entries, skipped = _list_folder(path, suffixes)
    nothing = f"there is no audio file in this folder ({skipped} other files were skipped)."
    return entries or [_empty_source(path, nothing)], skipped


def _empty_source(path: Path, problem: str) -> _Entry:
    return _Entry(str(path), path, problem, is_empty_source=True)


def _expand(pattern: Path) -> set[str]:
    """Return the matches of a glob; `**` enters every folder below, but follows no link."""
    parts = pattern.parts
    if "**" not in parts:
        return set(glob.glob(str(pattern)))  # noqa: PTH207 - Path.glob takes no absolute pattern
    # glob itself would follow a link to a parent folder (almost) for ever.
    at = parts.index("**")
    head, tail = Path(*parts[:at]), parts[at + 1 :]
    bases = _expand(head) if glob.has_magic(str(head)) else {str(head)}
    if not tail:
        return bases
    matches: set[str] = set()
    for base in bases:
        for folder, inner, _ in os.walk(base):
            inner[:] = [name for name in inner if not name.startswith(".")]
            matches |= _expand(Path(glob.escape(folder), *tail))
    return matches


def _list_folder(folder: Path, suffixes: frozenset[str]) -> _Listing:
    """Return files with an audio suffix, sorted by path, and folders that cannot be opened."""
    entries: dict[Path, _Entry] = {}
    audio_folders: list[Path] = []
    skipped = 0

    def add_unreadable(error: OSError) -> None:
        path = Path(error.filename)
        problem = f"this folder cannot be opened: {error.strerror}."
        entries[path] = _Entry(str(path), path, problem)

    for parent, folders, files in os.walk(folder, onerror=add_unreadable):
        audio = [Path(parent, name) for name in files if _looks_like_audio(name, suffixes)]
        entries.update((path, _Entry(str(path), path, is_listed=True)) for path in audio)
        skipped += len(files) - len(audio)
        audio_folders += [
            Path(parent, name) for name in folders if _looks_like_audio(name, suffixes)
        ]
    # A folder with an audio suffix that contains audio is a folder like any other.
    with_audio = {parent for path in entries for parent in path.parents} | {*entries}
    for path in audio_folders:
        if path not in with_audio:
            entries[path] = _Entry(str(path), path, find_path_problem(path))
    return [entries[path] for path in sorted(entries)], skipped


def _looks_like_audio(name: str, suffixes: frozenset[str]) -> bool:
    # macOS leaves hidden `._name.wav` files that contain no audio.
    return Path(name).suffix.lower() in suffixes and not name.startswith(".")


def _copy_stdin(stdin: BinaryIO | None, directory: Path) -> _Entry:
    # Decoders seek, which a pipe cannot.
    path = directory / "stdin"
    if stdin is None:
        return _Entry(STDIN, path, "standard input is closed.")
    try:
        with path.open("wb") as file:
            while block := stdin.read(COPY_BYTES):
                file.write(block)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        return _Entry(STDIN, path, f"standard input cannot be read: {error.strerror or error}.")
    empty = "standard input is empty." if path.stat().st_size == 0 else None
    return _Entry(STDIN, path, empty)

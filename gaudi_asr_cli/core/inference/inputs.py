"""What `infer` is asked to transcribe: files, folders, globs and standard input."""

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
from gaudi_asr_cli.core.records import AudioSpan, RawFormat, Utterance

STDIN = "-"
COPY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class AudioInputs:
    """Files to transcribe, in order, each once; `passed_over` counts other files of folders.

    `rejected` says of utterances, by id, why there is nothing to read: known without opening any.
    """

    utterances: tuple[Utterance, ...]
    passed_over: int = 0
    rejected: Mapping[str, str] = field(default_factory=dict)

    @property
    def readable(self) -> tuple[Utterance, ...]:
        """Those that are not rejected."""
        return tuple(one for one in self.utterances if one.id not in self.rejected)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A file, by the name it is reported under; `problem` says why it cannot be read.

    `is_listed` where a folder gave it, `stands_for_nothing` where a source gave no file at all.
    """

    name: str
    path: Path
    problem: str | None = None
    is_listed: bool = False
    stands_for_nothing: bool = False


_Listing = tuple[list[_Entry], int]
"""What a source gives, and how many other files its folders hold."""


@contextmanager
def opened_inputs(
    sources: Sequence[str], stdin: BinaryIO | None, raw: RawFormat | None = None
) -> Iterator[AudioInputs]:
    """Find what the sources name; standard input lies in a file of its own meanwhile.

    A folder gives every file below it that looks like audio, sorted by path; a file that is named
    is always given, whatever it is called. What does not exist or is no file is `rejected`, and
    costs only itself.

    Args:
        sources: Files, folders, globs, `-`.
        stdin: What `-` stands for; None where it is closed.
        raw: What files without a header hold: those called so, in folders too; those named that
            are not called as audio is; and standard input.

    Raises:
        DataError: There are only folders without audio, and globs that match nothing.
    """
    suffixes = LISTED_SUFFIXES if raw is None else AUDIO_SUFFIXES | RAW_SUFFIXES
    with TemporaryDirectory(prefix="gaudi-asr-") as scratch:
        entries: dict[str, _Entry] = {}
        passed_over = 0
        for source in sources:
            if source == STDIN:
                found, other = [_copy_stdin(stdin, Path(scratch))], 0
            else:
                found, other = _find_entries(source, suffixes)
            passed_over += other
            for entry in found:
                entries.setdefault(entry.name, entry)
        _refuse_nothing(list(entries.values()))
        yield AudioInputs(
            tuple(Utterance(one.name, _place(one, raw)) for one in entries.values()),
            passed_over,
            {one.name: one.problem for one in entries.values() if one.problem is not None},
        )


def _refuse_nothing(entries: Sequence[_Entry]) -> None:
    if any(not one.stands_for_nothing for one in entries):
        return
    reasons = "; ".join(f"{shorten_path(one.name)}: {one.problem}" for one in entries)
    raise DataError(
        f"There is no audio file to transcribe. {reasons}",
        remedy="Check the path; name the files themselves if they are audio under unusual names.",
    )


def _place(entry: _Entry, raw: RawFormat | None) -> AudioSpan:
    suffix = entry.path.suffix.lower()
    is_raw = suffix in RAW_SUFFIXES if entry.is_listed else suffix not in AUDIO_SUFFIXES
    return AudioSpan(entry.path, raw=raw if is_raw else None)


def _find_entries(source: str, suffixes: frozenset[str]) -> _Listing:
    if not source:
        return [_Entry("", Path(), "an empty name names no file.")], 0
    path = expand_home(source)
    if os.path.lexists(path) or not glob.has_magic(source):
        return _find_at(path, suffixes)
    entries: list[_Entry] = []
    passed_over = 0
    for match in sorted(_expand(path)):
        found, other = _find_at(Path(match), suffixes)
        entries += found
        passed_over += other
    return entries or [_nothing_at(path, "no file matches it.")], passed_over


def _find_at(path: Path, suffixes: frozenset[str]) -> _Listing:
    """A file, whatever it is called, or what a folder holds."""
    # Path.is_dir raises where a name is too long.
    if not os.path.isdir(path):  # noqa: PTH112
        return [_Entry(str(path), path, find_path_problem(path))], 0
    entries, passed_over = _list_folder(path, suffixes)
    nothing = f"there is no audio file in this folder ({passed_over} other files passed over)."
    return entries or [_nothing_at(path, nothing)], passed_over


def _nothing_at(path: Path, problem: str) -> _Entry:
    return _Entry(str(path), path, problem, stands_for_nothing=True)


def _expand(pattern: Path) -> set[str]:
    """What a glob matches; `**` goes into every folder below, but through no link to one."""
    parts = pattern.parts
    if "**" not in parts:
        return set(glob.glob(str(pattern)))  # noqa: PTH207 - Path.glob takes no absolute pattern
    # glob itself would follow a link to a folder above for ever, or nearly so.
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
    """Whatever is called as audio is, sorted by path; a folder that cannot be opened is said."""
    entries: dict[Path, _Entry] = {}
    audio_folders: list[Path] = []
    passed_over = 0

    def say_closed(error: OSError) -> None:
        path = Path(error.filename)
        problem = f"this folder cannot be opened: {error.strerror}."
        entries[path] = _Entry(str(path), path, problem)

    for place, folders, files in os.walk(folder, onerror=say_closed):
        audio = [Path(place, name) for name in files if _looks_like_audio(name, suffixes)]
        entries.update((path, _Entry(str(path), path, is_listed=True)) for path in audio)
        passed_over += len(files) - len(audio)
        audio_folders += [
            Path(place, name) for name in folders if _looks_like_audio(name, suffixes)
        ]
    # One that holds audio is a folder like any other.
    with_audio = {parent for path in entries for parent in path.parents} | {*entries}
    for path in audio_folders:
        if path not in with_audio:
            entries[path] = _Entry(str(path), path, find_path_problem(path))
    return [entries[path] for path in sorted(entries)], passed_over


def _looks_like_audio(name: str, suffixes: frozenset[str]) -> bool:
    # macOS leaves hidden `._name.wav` files about that hold no audio.
    return Path(name).suffix.lower() in suffixes and not name.startswith(".")


def _copy_stdin(stdin: BinaryIO | None, directory: Path) -> _Entry:
    # Decoders look back and forth in what they read, which a pipe cannot do.
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

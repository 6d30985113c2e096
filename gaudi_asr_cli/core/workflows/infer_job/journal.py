"""The journal of a folder of transcripts: what is done, one JSON line each, appended.

A line is written when all files of an input are on the disk. A line that was cut, because the
process was killed or the disk was full, counts as not written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from gaudi_asr_cli.core.json_text import json_text
from gaudi_asr_cli.core.whole_files import sync_folder, write_whole

JOURNAL_SCHEMA = "infer-journal/1"


@dataclass(frozen=True, slots=True)
class FileStamp:
    """Size in bytes and time of the last change in ns, by which a file is known to be unchanged."""

    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """An input that is done.

    `input` is its absolute path, `stamp` None where it did not exist; `name` is that of its files
    without the suffix; `error` is why there is no transcript.
    """

    input: str
    stamp: FileStamp | None
    name: str
    duration_s: float = 0.0
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the line of the journal."""
        stamp = {"size": None, "mtime_ns": None} if self.stamp is None else asdict(self.stamp)
        return {
            "input": self.input,
            **stamp,
            "name": self.name,
            "duration_s": round(self.duration_s, 3),
            "error": self.error,
        }

    @classmethod
    def from_json(cls, line: Mapping[str, Any]) -> JournalEntry:
        """Return the entry of a line.

        Raises:
            KeyError, TypeError, ValueError: It is no such line.
        """
        size, mtime_ns = line["size"], line["mtime_ns"]
        return cls(
            str(line["input"]),
            None if size is None else FileStamp(int(size), int(mtime_ns)),
            str(line["name"]),
            float(line["duration_s"]),
            None if line["error"] is None else str(line["error"]),
        )


@dataclass(slots=True)
class Journal:
    """What a journal says: the options that the transcripts were made with, and what is done.

    `options` are values by the name of their option; None where there is no journal yet. `root` is
    the folder whose tree is mirrored. `damaged` counts lines that are none of a journal.
    """

    options: dict[str, Any] | None = None
    root: str = ""
    entries: dict[str, JournalEntry] = field(default_factory=dict)
    damaged: int = 0


def read_journal(path: Path) -> Journal:
    """Read a journal; the last line of an input counts, and a cut line at the end does not."""
    journal = Journal()
    try:
        with path.open("rb") as file:
            for line in file:
                # The last line, if it was cut.
                if line.endswith(b"\n"):
                    _add_line(journal, line)
    except FileNotFoundError:
        pass
    return journal


def _add_line(journal: Journal, line: bytes) -> None:
    try:
        values = json.loads(line)
        if values.get("schema") == JOURNAL_SCHEMA:
            journal.options, journal.root = dict(values["options"]), str(values["root"])
        else:
            entry = JournalEntry.from_json(values)
            journal.entries[entry.input] = entry
    except (ValueError, KeyError, TypeError, AttributeError):
        journal.damaged += 1


class JournalWriter:
    """Appends to a journal. Use it as a context manager.

    Args:
        path: The journal; created with the first entry.
        options: The options of this run, by name.
        root: The folder whose tree is mirrored.
        new: Whether what the journal holds no longer counts.
    """

    def __init__(self, path: Path, options: Mapping[str, Any], root: str, *, new: bool) -> None:
        self._path = path
        head = {"schema": JOURNAL_SCHEMA, "root": root, "options": options}
        self._head = json_text(head) + "\n"
        self._new = new
        self._descriptor: int | None = None

    def __enter__(self) -> JournalWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, at: TracebackType | None
    ) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)

    def append(self, entries: Iterable[JournalEntry]) -> None:
        """Append entries; they are on the disk when it returns.

        Raises:
            OSError: They could not be written.
        """
        if self._descriptor is None:
            self._descriptor = self._open()
        text = "".join(json_text(entry.to_json()) + "\n" for entry in entries)
        _write_all(self._descriptor, text.encode())
        os.fsync(self._descriptor)

    def _open(self) -> int:
        if self._new:
            write_whole(self._path, self._head)
        descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        _cut_last_line(descriptor)
        if not self._new:
            _write_all(descriptor, self._head.encode())
            sync_folder(self._path.parent)
        return descriptor


def _write_all(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def _cut_last_line(descriptor: int) -> None:
    """Remove what follows the last line feed, or the next line would be damaged too."""
    size = os.fstat(descriptor).st_size
    end = size
    while end > 0:
        start = max(0, end - (1 << 16))
        block = os.pread(descriptor, end - start, start)
        at = block.rfind(b"\n")
        if at >= 0:
            end = start + at + 1
            break
        end = start
    if end < size:
        os.ftruncate(descriptor, end)

"""Encoded audio, a file or the bytes of a table's cell, opened for decoders as a whole or in part.

Decoders would print an OSError raised while they read, and go on; damaged headers make them seek
to impossible offsets. Both are handled by the files here.
"""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import IO, Any

from gaudi_asr_cli.core.data.cells import read_cell
from gaudi_asr_cli.core.data.containers.base import Piece
from gaudi_asr_cli.core.data.paths import find_path_problem, shorten_path
from gaudi_asr_cli.core.data.raw import ENCODINGS, RAW_SUFFIXES
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.records import AudioSpan, RawFormat

PLAIN_NAME = "audio"
"""A name without a suffix, for libsndfile, which reads no header of a file called `.raw`."""

_BUFFER_BYTES = 65_536


class _ForgivingFile(io.BufferedReader):
    """A file in which seeking to an impossible offset, as damaged headers ask for, goes to its end.

    A decoder would print an OSError raised while it reads, and go on: the error is kept in
    `failure` instead. Decoders look at `name`: soundfile reads no header of a file called `.raw`,
    and FFmpeg rejects a name that is not UTF-8.
    """

    def __init__(self, path: Path, name: str) -> None:
        super().__init__(io.FileIO(path), _BUFFER_BYTES)
        self.failure: OSError | None = None
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        try:
            return super().seek(offset, whence)
        except (OSError, ValueError, OverflowError):
            return super().seek(0, io.SEEK_END)

    def read(self, size: int | None = -1) -> bytes:
        try:
            return super().read(size)
        except OSError as error:
            self.failure = error
            return b""

    def readinto(self, buffer: Any) -> int:
        try:
            return super().readinto(buffer)
        except OSError as error:
            self.failure = error
            return 0


class _ForgivingBytes(io.BytesIO):
    """The same for the bytes of a table's cell."""

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        try:
            return super().seek(offset, whence)
        except (OSError, ValueError, OverflowError):
            return super().seek(0, io.SEEK_END)


class _PiecesFile(io.RawIOBase):
    """Pieces of a file, and bytes between them, read as one file."""

    def __init__(self, file: IO[bytes], pieces: Sequence[Piece]) -> None:
        super().__init__()
        self._file, self._pieces = file, pieces
        sizes = (len(one) if isinstance(one, bytes) else one[1] - one[0] for one in pieces)
        self._starts = [*accumulate(sizes, initial=0)]
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        size = self._starts[-1]
        target = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: size}[whence]
        self._at = target if 0 <= target <= size else size
        return self._at

    def readinto(self, buffer: Any) -> int:
        target = memoryview(buffer).cast("B")
        done = 0
        while done < len(target) and self._at < self._starts[-1]:
            index = bisect_right(self._starts, self._at) - 1
            wanted = min(len(target) - done, self._starts[index + 1] - self._at)
            data = self._read_piece(index, self._at - self._starts[index], wanted)
            if not data:
                break
            target[done : done + len(data)] = data
            done, self._at = done + len(data), self._at + len(data)
        return done

    def _read_piece(self, index: int, offset: int, size: int) -> bytes:
        piece = self._pieces[index]
        if isinstance(piece, bytes):
            return piece[offset : offset + size]
        self._file.seek(piece[0] + offset)
        return self._file.read(size)


def name_span(span: AudioSpan) -> str:
    """Return the name of a file or cell for messages."""
    row = "" if span.row is None else f", row {span.row}"
    return f"{shorten_path(span.path)}{row}"


@dataclass(frozen=True, slots=True)
class AudioSource:
    """Encoded audio: a file, or the bytes of a cell; errors call it `name`."""

    name: str
    path: Path | None
    data: bytes = b""
    raw: RawFormat | None = None

    @classmethod
    def find(cls, span: AudioSpan) -> AudioSource:
        """Find the file or cell that a span lies in.

        Raises:
            DataError: There is no such file or cell, or it is empty.
        """
        name = name_span(span)
        if span.row is None:
            return cls._check(name, span.path, span.raw)
        cell = read_cell(span)
        if isinstance(cell, Path):
            return cls._check(f"{name} ({shorten_path(cell)})", cell)
        return cls(name, None, cell)

    @classmethod
    def _check(cls, name: str, path: Path, raw: RawFormat | None = None) -> AudioSource:
        # A directory or a named pipe would hang or confuse the decoders.
        problem = find_path_problem(path)
        if problem is not None:
            raise DataError(
                f"{name}: {problem}",
                remedy="Check the path (relative paths start at the list that contains them) and "
                "its permissions; download an empty file again, or remove it from the data.",
            )
        return cls(name, path, raw=raw)

    @property
    def may_be_headerless(self) -> bool:
        """Whether it has no header, or a suffix of files without one."""
        if self.raw is not None:
            return True
        return self.path is not None and self.path.suffix.lower() in RAW_SUFFIXES

    @contextmanager
    def open(
        self, name: str | None = None, pieces: Sequence[Piece] | None = None
    ) -> Iterator[IO[bytes]]:
        """Open it, or pieces of it, for a decoder under `name`, by default one with its suffix."""
        with self._open_whole(name) as file:
            if pieces is None:
                yield file
            else:
                yield io.BufferedReader(_PiecesFile(file, pieces), _BUFFER_BYTES)

    @contextmanager
    def _open_whole(self, name: str | None) -> Iterator[IO[bytes]]:
        if self.path is None:
            yield _ForgivingBytes(self.data)
            return
        suffix = self.path.suffix if self.path.suffix.isascii() else ""
        with _ForgivingFile(self.path, name or f"audio{suffix}") as file:
            yield file
            if file.failure is not None:
                raise file.failure

    @contextmanager
    def open_soundfile(self, pieces: Sequence[Piece] | None = None) -> Iterator[Any]:
        """Open it, or pieces of it, with libsndfile.

        Raises:
            RuntimeError: libsndfile cannot read it.
        """
        with self.open(PLAIN_NAME, pieces) as encoded, self.read_soundfile(encoded) as file:
            yield file

    @contextmanager
    def read_soundfile(self, encoded: IO[bytes]) -> Iterator[Any]:
        """Read the header of an open file with libsndfile, from its start.

        Raises:
            RuntimeError: libsndfile cannot read it.
        """
        import soundfile

        encoded.seek(0)
        with soundfile.SoundFile(encoded, **self._arguments()) as file:
            # Raw quiet samples resemble the first bytes of an MP3 frame.
            if self.raw is None and self.may_be_headerless and file.format == "MP3":
                raise RuntimeError("samples, not MP3 frames")
            yield file

    def _arguments(self) -> dict[str, Any]:
        if self.raw is None:
            return {}
        subtype, endian = ENCODINGS[self.raw.encoding]
        return {
            "format": "RAW",
            "samplerate": self.raw.rate_hz,
            "channels": self.raw.channels,
            "subtype": subtype,
            "endian": endian,
        }


def reject_unreadable(source: AudioSource) -> DataError:
    """Return the error of a source in which no decoder finds audio."""
    if source.may_be_headerless:
        return DataError(
            f"{source.name}: samples without a header, so rate and format are unknown; "
            "infer --raw RATE:FORMAT reads such files (--raw 8000:s16le, for example).",
            remedy="Give rate and format with --raw, or convert the file to flac or wav.",
        )
    return DataError(
        f"{source.name}: neither libsndfile nor FFmpeg finds audio in it.",
        remedy="Check that it is a complete audio file; remove it from the data, or convert it to "
        "flac.",
    )

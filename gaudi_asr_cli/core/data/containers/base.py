"""Parts of a file, as its bytes show them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO

Piece = bytes | tuple[int, int]
"""Bytes to read in place of those of the file, or a range of the file: start and stop."""

IMPLAUSIBLE = 100
"""A header that declares this many times what the file's bytes can hold declares nothing."""

_PADDING_BYTES = 4096
_TAGS = (b"TAG", b"APETAGEX", b"ID3", b"LYRICSBEGIN")


@dataclass(frozen=True, slots=True)
class PartPlan:
    """Audio that a decoder reads as a file of its own.

    `pieces` are its bytes, or None for the file as it is. `regular` is unset where the container's
    clock has holes or starts late. `counted` is set for a FLAC stream whose header, its first
    piece, does not know its length: its samples are to be counted. `frames` are its samples per
    channel where libsndfile only estimates them.
    """

    pieces: tuple[Piece, ...] | None = None
    regular: bool = True
    counted: bool = False
    frames: int | None = None


WHOLE_FILE = PartPlan()


@dataclass(frozen=True, slots=True)
class FilePlan:
    """The parts of a file in order.

    `declared_s` is the length that the header declares where the file may hold less: libsndfile
    goes by the size of a truncated file, so the loss would go unnoticed. `notes` say what is
    unusual about the file, without its name.
    """

    parts: tuple[PartPlan, ...]
    declared_s: float | None = None
    notes: tuple[str, ...] = ()


def read_at(file: IO[bytes], offset: int, size: int) -> bytes:
    """Return up to `size` bytes from `offset` on."""
    file.seek(offset)
    return file.read(size)


def is_trailer(file: IO[bytes], at: int, size: int) -> bool:
    """Return whether the rest of a file after its audio is a player's tag, padding, or nothing."""
    rest = read_at(file, at, _PADDING_BYTES + 1)
    return rest.startswith(_TAGS) or (len(rest) <= _PADDING_BYTES and not rest.strip(b"\0"))

"""Chunks of RIFF and IFF files: a name, a size, and a body padded to an even length."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from gaudi_asr_cli.core.data.containers.base import is_trailer, read_at

MAX_CHUNKS = 10_000


@dataclass(frozen=True, slots=True)
class RiffChunk:
    """A chunk whose body lies at `start`; `size` is as declared."""

    name: bytes
    start: int
    size: int

    @property
    def stop(self) -> int:
        return self.start + self.size + self.size % 2


def walk_chunks(file: IO[bytes], start: int, size: int, order: str) -> Iterator[RiffChunk]:
    """Yield chunks from `start` on until one is not a chunk; the last may be truncated.

    Args:
        file: The file.
        start: Offset of the first chunk.
        size: Length of the file in bytes.
        order: Byte order of sizes, `<` or `>`.
    """
    for _ in range(MAX_CHUNKS):
        header = read_at(file, start, 8)
        if len(header) < 8 or not is_chunk_name(header[:4]):
            return
        chunk = RiffChunk(header[:4], start + 8, struct.unpack(f"{order}I", header[4:])[0])
        yield chunk
        start = chunk.stop
        if start >= size:
            return


def continues_as_chunks(file: IO[bytes], start: int, size: int, order: str) -> bool:
    """Return whether the rest of a file after its audio is chunks, tags or padding.

    Otherwise it is audio that the size of the audio's chunk does not count.
    """
    for at in (start, start - 1):
        if size - at <= 8 or is_trailer(file, at, size):
            return True
        chunk = next(walk_chunks(file, at, size, order), None)
        if chunk is not None and (chunk.start + chunk.size <= size or chunk.name in _KNOWN):
            return True
    return False


def is_chunk_name(name: bytes) -> bool:
    """Return whether four bytes may name a chunk."""
    return all(32 <= byte < 127 for byte in name)


_KNOWN = {
    *(b"LIST", b"bext", b"fact", b"cue ", b"smpl", b"inst", b"id3 ", b"ID3 ", b"iXML", b"JUNK"),
    *(b"junk", b"PAD ", b"PEAK", b"_PMX", b"axml", b"chna", b"afsp", b"MARK", b"COMT", b"NAME"),
    *(b"AUTH", b"(c) ", b"ANNO", b"INST", b"APPL", b"data", b"SSND", b"RIFF", b"levl", b"DISP"),
}

"""Core Audio Format files of Apple."""

from __future__ import annotations

import struct
from typing import IO

from gaudi_asr_cli.core.data.containers.base import (
    WHOLE_FILE,
    FilePlan,
    PartPlan,
    is_trailer,
    read_at,
)
from gaudi_asr_cli.core.data.containers.chunks import MAX_CHUNKS, is_chunk_name

_HEADER_BYTES = 8
_UNKNOWN = -1


def plan_caf(head: bytes, file: IO[bytes], size: int) -> FilePlan | None:
    """Plan a CAF file; None where it is none.

    Audio of which no size (-1 in a stream, 0 of an interrupted program) or too little is declared
    is read to the end of the file, and so is that of a truncated file, which libsndfile rejects.
    """
    if head[:4] != b"caff":
        return None
    bodies = _find_bodies(file, size)
    if b"data" not in bodies:
        return FilePlan((WHOLE_FILE,))
    start, declared = bodies[b"data"]
    held = size - start
    unknown = declared in {_UNKNOWN, 0}
    if declared == held or (0 < declared < held and _goes_on(file, start + declared, size)):
        return FilePlan((WHOLE_FILE,))
    pieces = ((0, start - 8), struct.pack(">q", held), (start, size))
    part = PartPlan(pieces)
    if unknown or declared < held:
        note = f"the header declares {declared:,} bytes of audio, {held:,} follow: all is read"
        return FilePlan((part,), notes=() if unknown else (note,))
    return FilePlan((part,), _find_length_s(file, bodies.get(b"desc"), declared))


def _find_bodies(file: IO[bytes], size: int) -> dict[bytes, tuple[int, int]]:
    """Return where the bodies of the chunks up to the audio start, and the sizes they declare."""
    bodies: dict[bytes, tuple[int, int]] = {}
    at = _HEADER_BYTES
    while b"data" not in bodies and len(bodies) < MAX_CHUNKS:
        header = read_at(file, at, 12)
        if len(header) < 12 or not is_chunk_name(header[:4]):
            break
        length = struct.unpack_from(">q", header, 4)[0]
        bodies[header[:4]] = (at + 12, length)
        if not 0 <= length <= size:
            break
        at += 12 + length
    return bodies


def _find_length_s(file: IO[bytes], description: tuple[int, int] | None, size: int) -> float | None:
    """Return the seconds in `size` bytes of audio; None where their format is not constant."""
    body = b"" if description is None else read_at(file, description[0], 24)
    if len(body) < 24:
        return None
    rate_hz, packet_bytes, packet_samples = struct.unpack(">d8xII", body)
    if not packet_bytes or not rate_hz > 0:
        return None
    return float(size / packet_bytes * packet_samples / rate_hz)


def _goes_on(file: IO[bytes], at: int, size: int) -> bool:
    """Return whether the rest of a file after its audio is chunks, a tag or padding."""
    header = read_at(file, at, 12)
    if is_trailer(file, at, size):
        return True
    is_chunk = len(header) == 12 and is_chunk_name(header[:4])
    return is_chunk and 0 <= struct.unpack_from(">q", header, 4)[0] <= size - at

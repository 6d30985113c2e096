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
    is read to the end of the file.
    """
    if head[:4] != b"caff":
        return None
    found = _find_data(file, size)
    if found is None:
        return FilePlan((WHOLE_FILE,))
    start, declared = found
    held = size - start
    unknown = declared in {_UNKNOWN, 0}
    if not unknown and (declared >= held or _goes_on(file, start + declared, size)):
        return FilePlan((WHOLE_FILE,))
    note = f"the header declares {declared:,} bytes of audio, {held:,} follow: all is read"
    pieces = ((0, start - 8), struct.pack(">q", held), (start, size))
    return FilePlan((PartPlan(pieces),), notes=() if unknown else (note,))


def _find_data(file: IO[bytes], size: int) -> tuple[int, int] | None:
    """Return where the body of the data chunk starts, and the size that it declares."""
    at = _HEADER_BYTES
    for _ in range(MAX_CHUNKS):
        header = read_at(file, at, 12)
        if len(header) < 12 or not is_chunk_name(header[:4]):
            return None
        length = struct.unpack_from(">q", header, 4)[0]
        if header[:4] == b"data":
            return at + 12, length
        if not 0 <= length <= size:
            return None
        at += 12 + length
    return None


def _goes_on(file: IO[bytes], at: int, size: int) -> bool:
    """Return whether the rest of a file after its audio is chunks, a tag or padding."""
    header = read_at(file, at, 12)
    if is_trailer(file, at, size):
        return True
    is_chunk = len(header) == 12 and is_chunk_name(header[:4])
    return is_chunk and 0 <= struct.unpack_from(">q", header, 4)[0] <= size - at

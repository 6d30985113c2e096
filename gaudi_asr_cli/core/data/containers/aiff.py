"""AIFF and AIFF-C files."""

from __future__ import annotations

import struct
from typing import IO

from gaudi_asr_cli.core.data.containers.base import (
    IMPLAUSIBLE,
    WHOLE_FILE,
    FilePlan,
    PartPlan,
    read_at,
)
from gaudi_asr_cli.core.data.containers.chunks import RiffChunk, continues_as_chunks, walk_chunks

_LARGEST_EXPONENT = 16383 + 32
"""Exponent of sample rates below 2**33 Hz; more, or a negative rate, is a damaged header."""
_OFFSET_BYTES = 8
"""The body of a chunk of samples begins with an offset and a block size."""


def plan_aiff(head: bytes, file: IO[bytes], size: int) -> FilePlan | None:
    """Plan an AIFF file; None where it is none.

    Samples of which too few or none are declared are read to the end of the file.
    """
    if head[:4] != b"FORM" or head[8:12] not in {b"AIFF", b"AIFC"}:
        return None
    chunks = {chunk.name: chunk for chunk in walk_chunks(file, 12, size, ">")}
    common, samples = chunks.get(b"COMM"), chunks.get(b"SSND")
    if common is None or samples is None:
        return FilePlan((WHOLE_FILE,))
    declared_s = _read_declared_s(file, common)
    held = size - samples.start
    declares = _OFFSET_BYTES < samples.size <= IMPLAUSIBLE * held
    ends = samples.stop >= size or continues_as_chunks(file, samples.stop, size, ">")
    if declares and ends:
        return FilePlan((WHOLE_FILE,), declared_s)
    if samples.size <= _OFFSET_BYTES and common.start > samples.start:
        return FilePlan((WHOLE_FILE,))
    note = f"the header declares {samples.size:,} bytes of audio, {held:,} follow: all is read"
    sized = (samples.start - 4, samples.start)
    pieces = ((0, sized[0]), struct.pack(">I", min(held, 0xFFFF_FFFF)), (sized[1], size))
    return FilePlan((PartPlan(pieces),), notes=(note,) if declares else ())


def _read_declared_s(file: IO[bytes], common: RiffChunk) -> float | None:
    body = read_at(file, common.start, 18)
    if len(body) < 18:
        return None
    frames = struct.unpack_from(">I", body, 2)[0]
    rate_hz = _read_extended(body[8:18])
    return float(frames / rate_hz) if rate_hz else None


def _read_extended(data: bytes) -> float:
    """Decode an 80-bit IEEE 754 number, AIFF's sample rate; 0 where it is no possible rate."""
    exponent, mantissa = struct.unpack(">HQ", data)
    if exponent > _LARGEST_EXPONENT:
        return 0.0
    return float(mantissa * 2.0 ** (exponent - 16383 - 63))

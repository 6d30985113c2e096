"""The duration that a wav or aiff header declares, which decoders do not report.

libsndfile goes by the size of a truncated wav, not by its header, so the loss would go unnoticed.
"""

from __future__ import annotations

import struct
from typing import IO

_STREAMED_BYTES = 0x7FFF_0000
"""Programs that write wav to a pipe cannot know its size: they write 0 or the maximum."""

_LARGEST_EXPONENT = 16383 + 32
"""Exponent of sample rates below 2**33 Hz; more, or a negative rate, is a damaged header."""


def read_declared_s(file: IO[bytes]) -> float | None:
    """Return the seconds that a RIFF wav or AIFF header declares; None for any other file."""
    head = file.read(12)
    if head[:4] == b"RIFF" and head[8:] == b"WAVE":
        return _read_wav_s(file)
    if head[:4] == b"FORM" and head[8:] in {b"AIFF", b"AIFC"}:
        return _read_aiff_s(file)
    return None


def _read_wav_s(file: IO[bytes]) -> float | None:
    bytes_per_s = 0
    while len(header := file.read(8)) == 8:
        name, size = header[:4], struct.unpack("<I", header[4:])[0]
        if name == b"data":
            known = bytes_per_s and 0 < size < _STREAMED_BYTES
            return size / bytes_per_s if known else None
        start = file.tell()
        if name == b"fmt " and len(body := file.read(12)) == 12:
            bytes_per_s = struct.unpack_from("<I", body, 8)[0]
        file.seek(start + size + size % 2)
    return None


def _read_aiff_s(file: IO[bytes]) -> float | None:
    while len(header := file.read(8)) == 8:
        name, size = header[:4], struct.unpack(">I", header[4:])[0]
        start = file.tell()
        if name == b"COMM" and len(body := file.read(18)) == 18:
            frames = struct.unpack_from(">I", body, 2)[0]
            rate_hz = _read_extended(body[8:18])
            return float(frames / rate_hz) if rate_hz else None
        file.seek(start + size + size % 2)
    return None


def _read_extended(data: bytes) -> float:
    """Decode an 80-bit IEEE 754 number, AIFF's sample rate; 0 where it is no possible rate."""
    exponent, mantissa = struct.unpack(">HQ", data)
    if exponent > _LARGEST_EXPONENT:
        return 0.0
    return float(mantissa * 2.0 ** (exponent - 16383 - 63))

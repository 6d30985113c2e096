"""Native FLAC files (RFC 9639)."""

from __future__ import annotations

import struct
from functools import cache
from itertools import pairwise
from typing import IO, TYPE_CHECKING

import numpy as np

from gaudi_asr_cli.core.data.containers.base import (
    WHOLE_FILE,
    FilePlan,
    PartPlan,
    read_at,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MARKER = b"fLaC"
_STREAMINFO_BYTES = 34
_INFO_STOP = 42
_TOTAL_AT = 21
"""Offset of the byte whose low four bits begin the 36 bits of the number of samples."""
_SEARCH_BYTES = 1 << 20
_LARGEST_FRAME = 1 << 17
_OVERHEAD = 1.1
_SLACK_BYTES = 4_096
_SMALLEST_FRAME = 11
_TAG_BYTES = 128
_SYNC = (b"\xff\xf8", b"\xff\xf9")


def plan_flac(head: bytes, file: IO[bytes], size: int) -> FilePlan | None:
    """Plan a FLAC file; None where it is none.

    The number of samples in the header is used where the last frame ends there; otherwise it is
    counted. FLAC files that were joined to one are parts.
    """
    if head[:4] != _MARKER:
        return None
    info = read_at(file, 8, _STREAMINFO_BYTES)
    if len(info) < _STREAMINFO_BYTES:
        return FilePlan((WHOLE_FILE,))
    rate_hz = struct.unpack_from(">I", info, 10)[0] >> 12
    total = struct.unpack_from(">Q", info, 10)[0] & 0xF_FFFF_FFFF
    end = _find_end(file, info, size)
    if rate_hz == 0 or (
        total and end == total and _holds(info, total, size - _skip_metadata(file, size))
    ):
        return FilePlan((WHOLE_FILE,))
    starts = [*_find_starts(file, size), size]
    parts = tuple(
        PartPlan((_open(file, start), (start + _INFO_STOP, stop)), counted=True)
        for start, stop in pairwise(starts)
    )
    declared = total if len(parts) == 1 and total <= _count_most(info, size) else 0
    return FilePlan(parts, declared / rate_hz if declared else None)


def write_total(first: bytes, total: int) -> bytes:
    """Return the first piece of a part with the number of its samples in the header."""
    high = first[_TOTAL_AT] & 0xF0 | (total >> 32) & 0x0F
    return (
        first[:_TOTAL_AT] + struct.pack(">BI", high, total & 0xFFFF_FFFF) + first[_TOTAL_AT + 5 :]
    )


def count_frame(header: bytes) -> int:
    """Return the samples of a frame by its first bytes; 0 where these bytes are none."""
    if len(header) < 6 or header[:2] not in _SYNC:
        return 0
    number, at = _read_number(header, 4)
    code = header[2] >> 4
    return 0 if number is None or code == 0 else _read_block_size(header, at, code)[0]


def _open(file: IO[bytes], start: int) -> bytes:
    """Return marker and STREAMINFO of a part, its number of samples unknown."""
    first = read_at(file, start, _INFO_STOP)
    return write_total(first, 0) if len(first) == _INFO_STOP else first


def _count_most(info: bytes, size: int) -> int:
    """Return the most samples that a file of `size` bytes can hold: constant frames alone."""
    largest_block: int = struct.unpack_from(">H", info, 2)[0]
    return -(-size // _SMALLEST_FRAME) * largest_block


def _holds(info: bytes, total: int, size: int) -> bool:
    """Return whether frames of `size` bytes in all hold no more than `total` samples.

    A second file joined to the first may end with the same frame.
    """
    packed: int = struct.unpack_from(">Q", info, 10)[0]
    channels, bits = (packed >> 41 & 7) + 1, (packed >> 36 & 31) + 1
    return size <= total * channels * bits / 8 * _OVERHEAD + _SLACK_BYTES


def _skip_metadata(file: IO[bytes], size: int) -> int:
    """Return the offset of the first frame."""
    at = len(_MARKER)
    while at < size:
        header = read_at(file, at, 4)
        at += 4 + int.from_bytes(header[1:], "big")
        if len(header) < 4 or header[0] & 0x80:
            break
    return at


def _find_starts(file: IO[bytes], size: int) -> list[int]:
    """Return the offsets at which FLAC files begin in this one."""
    marker = _MARKER + b"\0\0\0\x22"
    starts: list[int] = []
    kept = b""
    for offset in range(0, size, _SEARCH_BYTES):
        data = kept + read_at(file, offset, _SEARCH_BYTES)
        base = offset - len(kept)
        at = -1
        while (at := data.find(marker, at + 1)) >= 0:
            starts.append(base + at)
        kept = data[-len(marker) + 1 :]
    return starts or [0]


def _find_end(file: IO[bytes], info: bytes, size: int) -> int | None:
    """Return the position after the last sample by the header of the last frame."""
    largest = int.from_bytes(info[7:10], "big") or _LARGEST_FRAME
    start = max(0, size - min(largest, _LARGEST_FRAME) - 256)
    data = read_at(file, start, size - start)
    block = struct.unpack_from(">H", info, 2)[0]
    at = len(data)
    while (at := max(data.rfind(sync, 0, at) for sync in _SYNC)) >= 0:
        end = _read_frame_end(data[at : at + 16], block)
        if end is not None:
            return end if _is_whole(data[at:]) else None
    return None


def _read_frame_end(header: bytes, block: int) -> int | None:
    """Return the position after a frame by its header; None where these bytes are none."""
    if len(header) < 6 or header[3] & 1:
        return None
    code, rate_code = header[2] >> 4, header[2] & 15
    number, at = _read_number(header, 4)
    if number is None or code == 0 or rate_code == 15:
        return None
    size, at = _read_block_size(header, at, code)
    at += {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if at >= len(header) or _crc8(header[:at]) != header[at]:
        return None
    is_variable = header[1] & 1
    return number + size if is_variable else number * block + size


def _read_number(header: bytes, at: int) -> tuple[int | None, int]:
    """Read a number coded like a character of UTF-8, and the offset after it."""
    first = header[at]
    if first < 0x80:
        return first, at + 1
    more = 8 - (first ^ 0xFF).bit_length()
    rest = header[at + 1 : at + more]
    if not 2 <= more <= 7 or len(rest) < more - 1 or any(byte >> 6 != 2 for byte in rest):
        return None, at
    number = first & (0x7F >> more)
    for byte in rest:
        number = number << 6 | byte & 0x3F
    return number, at + more


def _read_block_size(header: bytes, at: int, code: int) -> tuple[int, int]:
    if code in {6, 7}:
        width = code - 5
        return int.from_bytes(header[at : at + width], "big") + 1, at + width
    if code == 1:
        return 192, at
    return (576 << (code - 2) if code < 6 else 256 << (code - 8)), at


def _is_whole(frame: bytes) -> bool:
    """Return whether a frame ends with its checksum; a tag may follow it."""
    body = frame[:-_TAG_BYTES] if frame[-_TAG_BYTES:].startswith(b"TAG") else frame
    return _crc16(body[:-2]) == int.from_bytes(body[-2:], "big")


def _make_table(width: int, polynomial: int) -> tuple[int, ...]:
    table = []
    for byte in range(256):
        value = byte << (width - 8)
        for _ in range(8):
            value = value << 1 ^ (polynomial if value >> (width - 1) & 1 else 0)
        table.append(value & ((1 << width) - 1))
    return tuple(table)


_TABLE_8 = _make_table(8, 0x107)
_TABLE_16 = np.array(_make_table(16, 0x18005), dtype=np.uint16)


def _crc8(data: bytes) -> int:
    value = 0
    for byte in data:
        value = _TABLE_8[value ^ byte]
    return value


def _crc16(data: bytes) -> int:
    """Return the checksum of a frame: those of neighbouring halves are combined, in an array."""
    steps = max(len(data) - 1, 0).bit_length()
    padded = np.frombuffer(data.rjust(1 << steps, b"\0"), dtype=np.uint8)
    values = _TABLE_16[padded]
    for step in range(steps):
        values = _advance(step)[values[0::2]] ^ values[1::2]
    return int(values[0])


@cache
def _advance(step: int) -> NDArray[np.uint16]:
    """Return each checksum's value after `2**step` zero bytes."""
    if step == 0:
        every = np.arange(1 << 16, dtype=np.uint16)
        first: NDArray[np.uint16] = (every << 8) ^ _TABLE_16[every >> 8]
        return first
    half = _advance(step - 1)
    whole: NDArray[np.uint16] = half[half]
    return whole

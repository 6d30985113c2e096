"""Ogg files (RFC 3533) of Opus, Vorbis, FLAC and Speex.

The links of a chained file are parts. Pages say where their audio lies on the container's clock:
a link that starts late or has a hole is not regular.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO

from gaudi_asr_cli.core.data.clock import ROUNDED_S
from gaudi_asr_cli.core.data.containers.base import WHOLE_FILE, FilePlan, PartPlan, read_at
from gaudi_asr_cli.core.data.containers.flac import count_frame

_CAPTURE = b"OggS"
_FIRST = 2
_NO_POSITION = (1 << 64) - 1
_MAX_PAGE_BYTES = 27 + 255 + 255 * 255
_SEARCH_BYTES = 1 << 16
_OPUS_HZ = 48_000


@dataclass(frozen=True, slots=True)
class _Page:
    """A page: `packets` are the first bytes of those that end on it.

    `number` counts the pages of its stream.
    """

    start: int
    stop: int
    is_first: bool
    position: int
    serial: int
    number: int
    packets: tuple[bytes, ...]


@dataclass(slots=True)
class _Link:
    """A link: the pages of one stream, or of several that are interleaved, by their serial numbers.

    `lost_s` is the audio of pages that are missing or damaged.
    """

    start: int
    stop: int
    codec: _Codec | None
    serials: set[int] = field(default_factory=set)
    position: int = 0
    samples: int = 0
    regular: bool = True
    in_header: bool = True
    number: int = 0
    lost_s: float = 0.0


@dataclass(frozen=True, slots=True)
class _Codec:
    """The sample rate, and the most samples in a packet; Opus packets say theirs themselves."""

    name: str
    rate_hz: int
    longest: int

    def count(self, packets: tuple[bytes, ...]) -> int:
        """Return the most samples that these packets can hold."""
        if self.name == "opus":
            return sum(map(_count_opus, packets))
        return self.longest * len(packets)


def plan_ogg(head: bytes, file: IO[bytes], size: int) -> FilePlan | None:
    """Plan an Ogg file; None where it is none."""
    if head[:4] != _CAPTURE:
        return None
    links = _find_links(file, size)
    lost_s = sum(link.lost_s for link in links)
    notes = (
        (f"some of its pages are missing or damaged: {lost_s:.2f} s of silence stand for them",)
        if lost_s
        else ()
    )
    if len(links) <= 1 and all(link.regular for link in links):
        return FilePlan((WHOLE_FILE,))
    return FilePlan(
        tuple(
            PartPlan(None if len(links) == 1 else ((link.start, link.stop),), link.regular)
            for link in links
        ),
        notes=notes,
    )


@dataclass(frozen=True, slots=True)
class LateStart:
    """How late a stream starts, and how much audio its first page with audio has, in seconds."""

    late_s: float
    page_s: float


def find_late_start(file: IO[bytes], size: int) -> LateStart | None:
    """Return the late start of a FLAC stream, which FFmpeg loses; None where it starts at 0."""
    codec, samples = None, 0
    for page in _walk_pages(file, size):
        codec = codec or _read_codec(page)
        if codec is None or codec.name != "flac":
            return None
        samples += sum(map(count_frame, page.packets))
        if samples and page.position != _NO_POSITION:
            late_s = (page.position - samples) / codec.rate_hz
            return LateStart(late_s, samples / codec.rate_hz) if late_s > ROUNDED_S else None
    return None


def _find_links(file: IO[bytes], size: int) -> list[_Link]:
    links: list[_Link] = []
    was_first = False
    for page in _walk_pages(file, size):
        if page.is_first and not was_first:
            links.append(_Link(page.start, page.stop, _read_codec(page)))
        elif not page.is_first and (not links or page.serial not in links[-1].serials):
            # The first page of this link is damaged.
            links.append(_Link(page.start, page.stop, None, {page.serial}))
        was_first = page.is_first
        link = links[-1]
        link.stop = page.stop
        if page.is_first:
            link.serials.add(page.serial)
            link.codec = link.codec if len(link.serials) == 1 else None
        elif link.codec is not None:
            _place(link, link.codec, page)
            link.number = page.number
    return links


def _place(link: _Link, codec: _Codec, page: _Page) -> None:
    """Compare the page's position on the clock with the samples before it."""
    if page.position == _NO_POSITION:
        link.samples += 0 if link.in_header else codec.count(page.packets)
        return
    if page.position == 0 and link.in_header:
        return
    link.in_header = False
    link.samples += codec.count(page.packets)
    hole_s = (page.position - link.position - link.samples) / codec.rate_hz
    if hole_s > ROUNDED_S:
        link.regular = False
        if page.number > link.number + 1:
            link.lost_s += hole_s
    link.position, link.samples = page.position, 0


def _walk_pages(file: IO[bytes], size: int) -> Iterator[_Page]:
    """Yield the pages that are there as a whole; damaged bytes between them are skipped."""
    at, begun = 0, b""
    while at < size:
        header = read_at(file, at, 27)
        if header[:4] != _CAPTURE:
            at = _find_capture(file, at + 1, size)
            continue
        if len(header) < 27:
            return
        lacing = file.read(header[26])
        body = file.read(sum(lacing))
        stop = at + 27 + len(lacing) + len(body)
        if _checksum(header[:22] + bytes(4) + header[26:] + lacing + body) != header[22:26]:
            # A damaged page, which decoders skip, or a page only by chance.
            at, begun = _find_capture(file, at + 1, size), b""
            continue
        packets, begun = _split(lacing, body, begun)
        is_first = bool(header[5] & _FIRST)
        position, serial, number = struct.unpack_from("<QII", header, 6)
        yield _Page(at, stop, is_first, position, serial, number, packets)
        at = stop


_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def _checksum(page: bytes) -> bytes:
    """Return the checksum of a page, little-endian as it is stored.

    Its polynomial is that of zlib's, which takes bits in the opposite order and inverts the value.
    """
    opposite = ~zlib.crc32(page.translate(_REVERSED), 0xFFFF_FFFF) & 0xFFFF_FFFF
    return opposite.to_bytes(4, "big").translate(_REVERSED)


def _find_capture(file: IO[bytes], at: int, size: int) -> int:
    while at < size:
        data = read_at(file, at, _SEARCH_BYTES)
        found = data.find(_CAPTURE)
        if found >= 0:
            return at + found
        at += max(len(data) - 3, 1) if len(data) == _SEARCH_BYTES else size
    return size


def _split(lacing: bytes, body: bytes, begun: bytes) -> tuple[tuple[bytes, ...], bytes]:
    """Return the first bytes of the packets that end on a page, and of one that does not."""
    packets: list[bytes] = []
    at, start = 0, begun
    for lace in lacing:
        start = start or body[at : at + 64]
        at += lace
        if lace < 255:
            packets.append(start)
            start = b""
    return tuple(packets), start


def _read_codec(page: _Page) -> _Codec | None:
    """Read the codec from the first page of a stream; None for one that is not known."""
    first = page.packets[0] if page.packets else b""
    if first.startswith(b"OpusHead"):
        return _Codec("opus", _OPUS_HZ, 5_760)
    if first.startswith(b"\x01vorbis") and len(first) >= 29:
        rate_hz = struct.unpack_from("<I", first, 12)[0]
        return _Codec("vorbis", rate_hz, 1 << (first[28] >> 4) - 1) if rate_hz else None
    if first.startswith(b"\x7fFLAC") and len(first) >= 31:
        rate_hz = struct.unpack_from(">I", first, 27)[0] >> 12
        longest = struct.unpack_from(">H", first, 19)[0]
        return _Codec("flac", rate_hz, longest) if rate_hz else None
    return None


def _count_opus(packet: bytes) -> int:
    """Return the samples of an Opus packet at 48 kHz (RFC 6716, section 3.1)."""
    if not packet:
        return 0
    config, code = packet[0] >> 3, packet[0] & 3
    if config < 12:
        frame = (480, 960, 1920, 2880)[config & 3]
    elif config < 16:
        frame = (480, 960)[config & 1]
    else:
        frame = 120 << (config & 3)
    frames = (1, 2, 2)[code] if code < 3 else (packet[1] & 63 if len(packet) > 1 else 0)
    return frame * frames

"""MP3 files: their frames are counted, since lengths in MP3 headers are estimates or absent.

libmpg123 reads up to the count in the first frame (Xing, Info), or up to an estimate from the size
of the first frame where there is no count: files joined to one, and those of a variable bit rate
without a count, would lose their end without an error.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import IO

from gaudi_asr_cli.core.data.containers.base import WHOLE_FILE, FilePlan, PartPlan, Piece

_RATES_HZ = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
_KILOBITS_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KILOBITS_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_MPEG_1 = 3
_MONO = 3
_XING = (b"Xing", b"Info")
_VBRI = b"VBRI"
_VBRI_AT = 36
_HAS_FRAMES, _HAS_BYTES = 1, 2
_FIELDS = ((_HAS_FRAMES, 4), (_HAS_BYTES, 4), (4, 100), (8, 4))
"""Flags of the optional fields of a Xing header, in their order, and their sizes."""
_LAME_BYTES = 24
_PADDING_AT = 21
"""Offset of delay and padding, 12 bits each, in the extension that LAME adds to a Xing header."""
_READ_BYTES = 1 << 22
_LARGEST_FRAME = 4096


@dataclass(frozen=True, slots=True)
class _Frame:
    """The header of a frame: equal `kind` (version, rate, mono) is decoded alike."""

    size: int
    samples: int
    rate_hz: int
    kind: tuple[int, int, bool]
    count_at: int

    @classmethod
    def read(cls, data: bytes, at: int) -> _Frame | None:
        """Read the header of a layer III frame at `at`; None where there is none."""
        if at + 4 > len(data) or data[at] != 0xFF or data[at + 1] & 0xE6 != 0xE2:
            return None
        known = _FRAMES.get((data[at + 1] | 1, data[at + 2] & 0xFC, data[at + 3] >> 6 == _MONO))
        if known is None:
            return None
        return known[1] if data[at + 2] & 2 else known[0]


def _make_frames() -> dict[tuple[int, int, bool], tuple[_Frame, _Frame]]:
    """Return the frame of every header, without and with a byte of padding."""
    frames = {}
    for version, rates in _RATES_HZ.items():
        first = version == _MPEG_1
        for index, kilobits in enumerate(_KILOBITS_1 if first else _KILOBITS_2):
            for place, rate_hz in enumerate(rates):
                for mono in (True, False):
                    side = (17 if mono else 32) if first else (9 if mono else 17)
                    size = (144 if first else 72) * kilobits * 1000 // rate_hz
                    key = (0xE3 | version << 3, index << 4 | place << 2, mono)
                    kind = (version, rate_hz, mono)
                    samples = 1152 if first else 576
                    frames[key] = tuple(
                        _Frame(size + padding, samples, rate_hz, kind, 4 + side)
                        for padding in (0, 1)
                    )
    return {key: two for key, two in frames.items() if two[0].size > 4}  # type: ignore[misc]


_FRAMES = _make_frames()


@dataclass(slots=True)
class _Run:
    """Frames that are decoded as one file, from `start` to `stop`.

    `header` is a first frame without audio, Xing or VBRI, and `declared` its number of frames.
    `constant` is whether all frames are of one size, padding aside.
    """

    start: int
    stop: int
    first: _Frame
    frames: int = 0
    declared: int | None = None
    header: bytes = b""
    constant: bool = True


def plan_mp3(head: bytes, file: IO[bytes], size: int) -> FilePlan | None:
    """Plan an MP3 file; None where it is none.

    Each file of several that were joined is a part, with the number of frames that it holds.
    """
    if head[:3] != b"ID3" and (len(head) < 2 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2):
        return None
    start = _skip_tags(file, 0)
    runs = _find_runs(file, start, size)
    if not runs:
        return None
    first = runs[0]
    if len(runs) == 1 and not first.header and first.constant:
        return FilePlan((replace(WHOLE_FILE, frames=first.frames * first.first.samples),))
    if len(runs) == 1 and first.declared == first.frames and _counts_bytes(first):
        return FilePlan((WHOLE_FILE,))
    declared = _declared_frames(runs, size)
    seconds = first.first.samples / first.first.rate_hz
    return FilePlan(
        tuple(PartPlan(_write_pieces(run)) for run in runs if run.frames),
        None if declared is None else declared * seconds,
    )


def _declared_frames(runs: list[_Run], size: int) -> int | None:
    """Return the frames that the header declares, where the file was truncated."""
    run = runs[0]
    if len(runs) > 1 or run.declared is None or run.declared > 100 * size:
        return None
    return run.declared if run.declared > run.frames else None


def _skip_tags(file: IO[bytes], start: int) -> int:
    """Return the offset after any ID3v2 tags."""
    while True:
        file.seek(start)
        tag = file.read(10)
        if len(tag) < 10 or tag[:3] != b"ID3":
            return start
        size = 0
        for byte in tag[6:10]:
            size = size << 7 | byte & 0x7F
        start += 10 + size + (10 if tag[5] & 0x10 else 0)


def _find_runs(file: IO[bytes], start: int, size: int) -> list[_Run]:
    """Walk over the frames, and begin a run at every Xing header and change of format."""
    window = _Window(file, start, size)
    runs: list[_Run] = []
    at: int | None = start
    while at is not None:
        data, place = window.look(at)
        frame = _Frame.read(data, place)
        if frame is None or place + frame.size > len(data):
            at = window.find_next_frame(at + 1)
            continue
        if not runs or runs[-1].first.kind != frame.kind or _has_count(data, place, frame):
            runs.append(_begin_run(data, at - place, place, frame))
            at += frame.size
        else:
            at += _walk(data, place, window.find_tag(at), runs[-1])
        runs[-1].stop = at
    return runs


def _walk(data: bytes, place: int, tag: int, run: _Run) -> int:
    """Count frames of the run's kind up to the next tag; return the bytes they take."""
    sizes: dict[bytes, int] = {}
    at, frames, stop = place, 0, min(tag, len(data))
    while True:
        header = data[at : at + 4]
        size = sizes.get(header)
        if size is None:
            frame = _Frame.read(header, 0)
            size = 0 if frame is None or frame.kind != run.first.kind else frame.size
            sizes[header] = size
        # The first frame was looked at: it has no tag.
        if not size or at + size > len(data) or (frames and at + size > stop):
            break
        at, frames = at + size, frames + 1
    run.frames += frames
    run.constant &= all(abs(size - run.first.size) <= 1 for size in sizes.values() if size)
    return at - place


class _Window:
    """A part of a long file in memory."""

    def __init__(self, file: IO[bytes], start: int, size: int) -> None:
        self._file, self._size = file, size
        self._tags: list[int] = []
        self._read(start)

    def _read(self, start: int) -> None:
        self._start = start
        self._file.seek(start)
        self._data = self._file.read(min(_READ_BYTES, max(self._size - start, 0)))
        names = (*_XING, _VBRI)
        self._tags = sorted(at for name in names for at in _find_all(self._data, name))

    def look(self, at: int) -> tuple[bytes, int]:
        """Return data with the frame at an offset of the file as a whole, and its place there."""
        stop = self._start + len(self._data)
        if at + _LARGEST_FRAME > stop and stop < self._size:
            self._read(at)
        return self._data, at - self._start

    def find_tag(self, at: int) -> int:
        """Return the place of the first tag after an offset of the file."""
        place = at - self._start
        return next((tag for tag in self._tags if tag > place), len(self._data))

    def find_next_frame(self, at: int) -> int | None:
        """Return the offset of the next two frames in a row, after damage or a player's tag."""
        while at < self._size:
            data, place = self.look(at)
            found = _find_next_frame(data, place)
            if found is not None:
                return self._start + found
            at = max(self._start + len(data) - _LARGEST_FRAME, at + 1)
            if self._start + len(data) >= self._size:
                return None
        return None


def _find_all(data: bytes, name: bytes) -> Iterator[int]:
    at = -1
    while (at := data.find(name, at + 1)) >= 0:
        yield at


def _find_next_frame(data: bytes, at: int) -> int | None:
    """Return the offset of the next two frames of one kind in a row, after damage or a tag."""
    while (at := data.find(b"\xff", at)) >= 0:
        frame = _Frame.read(data, at)
        after = None if frame is None else _Frame.read(data, at + frame.size)
        if frame is not None and after is not None and after.kind == frame.kind:
            return at
        at += 1
    return None


def _has_count(data: bytes, at: int, frame: _Frame) -> bool:
    place = at + frame.count_at
    return data[place : place + 4] in _XING or data[at + _VBRI_AT : at + _VBRI_AT + 4] == _VBRI


def _begin_run(data: bytes, base: int, at: int, frame: _Frame) -> _Run:
    run = _Run(base + at, base + at, frame)
    if not _has_count(data, at, frame):
        run.frames = 1
        return run
    run.header = data[at : at + frame.size]
    if _is_vbri(run):
        run.declared = int.from_bytes(run.header[_VBRI_AT + 14 : _VBRI_AT + 18], "big")
    else:
        run.declared = _read_fields(run).get(_HAS_FRAMES)
    return run


def _is_vbri(run: _Run) -> bool:
    return run.header[_VBRI_AT : _VBRI_AT + 4] == _VBRI


def _read_fields(run: _Run) -> dict[int, int]:
    """Return the numbers in a Xing header, and 0: the offset after its last field."""
    fields: dict[int, int] = {}
    at = run.first.count_at + 8
    flags = int.from_bytes(run.header[at - 4 : at], "big")
    for flag, size in _FIELDS:
        if flags & flag:
            fields[flag] = int.from_bytes(run.header[at : at + size], "big")
            at += size
    return {**fields, 0: at}


def _counts_bytes(run: _Run) -> bool:
    """Return whether the header's number of bytes is right, or absent."""
    held = run.stop - run.start
    declared = held if _is_vbri(run) else _read_fields(run).get(_HAS_BYTES, held)
    return abs(declared - held) <= declared // 100


def _write_pieces(run: _Run) -> tuple[Piece, ...]:
    """Return the run with a Xing header that declares the frames and bytes that it holds."""
    own = run.header if run.header and not _is_vbri(run) else b""
    header = own or _make_header(run.first)
    start = run.start + len(run.header)
    counts = struct.pack(
        ">4sIII", _XING[0], _HAS_FRAMES | _HAS_BYTES, run.frames, len(header) + run.stop - start
    )
    end = _read_fields(run)[0] if own else len(header)
    lame = header[end : end + _LAME_BYTES]
    if run.declared != run.frames and len(lame) == _LAME_BYTES:
        # What was at the end, and its padding, is not there.
        lame = lame[: _PADDING_AT + 1] + bytes((lame[_PADDING_AT + 1] & 0xF0, 0))
    body = header[: run.first.count_at] + counts + lame
    return (body[: len(header)].ljust(len(header), b"\0"), (start, run.stop))


def _make_header(first: _Frame) -> bytes:
    """Return a frame with a Xing header, of the format of `first`."""
    for (version, rate, mono), (frame, _) in _FRAMES.items():
        enough = frame.size >= first.count_at + 20
        if frame.kind == first.kind and enough:
            head = bytes((0xFF, version, rate, 0xC0 if mono else 0))
            return head.ljust(frame.size, b"\0")
    raise AssertionError(first)

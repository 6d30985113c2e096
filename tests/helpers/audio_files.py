"""Audio files whose length is known from how they were made: packets are counted while writing.

No FFmpeg program is needed: PyAV muxes, soundfile writes, and headers are patched by hand.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import soundfile

RATE_HZ = 16_000
LATE_S = 2.0
HOLE_AT_S, HOLE_S = 1.0, 3.0


@dataclass(frozen=True)
class Made:
    """A file, where its audio ends on its clock, and by how much a codec may differ."""

    path: Path
    end_s: float
    tolerance_s: float = 0.001


def speech(seconds: float, seed: int = 0) -> np.ndarray:
    """Return noise with the envelope of speech: nothing in it repeats, and it compresses."""
    rng = np.random.default_rng(seed)
    noise = np.convolve(rng.uniform(-1, 1, round(seconds * RATE_HZ)), np.ones(8) / 8, "same")
    time_s = np.arange(len(noise)) / RATE_HZ
    return (0.4 * noise * (1.2 + np.sin(2 * np.pi * 3 * time_s)) / 2).astype(np.float32)


def encode(samples: np.ndarray, form: str, **options) -> bytearray:
    """Encode with soundfile."""
    file = io.BytesIO()
    soundfile.write(file, samples, RATE_HZ, format=form, **options)
    return bytearray(file.getvalue())


def mux(
    path: Path,
    codec: str,
    samples: np.ndarray,
    *,
    form: str | None = None,
    late_s: float = 0.0,
    hole: tuple[float, float] | None = None,
    options: dict[str, str] | None = None,
    languages: tuple[str, ...] = ("",),
    other: np.ndarray | None = None,
    pictures: int = 0,
) -> Made:
    """Mux with PyAV; where the audio ends is that of the last packet that was written.

    There is a track for each language; all but the first hold `other`, if that is given.
    """
    import av

    rate_hz = 48_000 if codec == "libopus" else RATE_HZ
    if rate_hz != RATE_HZ:
        import soxr

        samples = soxr.resample(samples, RATE_HZ, rate_hz)
    with av.open(path, "w", format=form, options=options or {}) as container:
        streams = [_add_stream(container, codec, rate_hz, one) for one in languages]
        if pictures:
            _add_pictures(container, pictures)
        end_s = 0.0
        for number, stream in enumerate(streams):
            held = other if number and other is not None else samples
            for packet in _encode(stream, held, rate_hz):
                end_s = max(end_s, _shift(packet, late_s, hole))
                container.mux(packet)
    return Made(path, end_s, 0.002 if codec == "libopus" else 0.001)


def _add_stream(container, codec, rate_hz, language):
    stream = container.add_stream(codec, rate=rate_hz, layout="mono")
    if language:
        stream.metadata["language"] = language
    return stream


def _encode(stream, samples, rate_hz):
    import av

    size = stream.codec_context.frame_size or 1024
    form = stream.codec_context.format.name
    for start in range(0, len(samples), size):
        part = samples[None, start : start + size]
        if form.startswith("s16"):
            part = np.round(part * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(part), form, "mono")
        frame.sample_rate, frame.pts, frame.time_base = rate_hz, start, Fraction(1, rate_hz)
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _shift(packet, late_s: float, hole: tuple[float, float] | None) -> float:
    """Move a packet on the clock; return where it ends."""
    begin_s = float(packet.pts * packet.time_base)
    shift_s = late_s + (hole[1] if hole and begin_s >= hole[0] else 0.0)
    packet.pts += round(shift_s / packet.time_base)
    packet.dts = packet.pts
    return float((packet.pts + packet.duration) * packet.time_base)


def _add_pictures(container, count: int) -> None:
    """Add a video of a picture a second, longer than the audio."""
    import av

    stream = container.add_stream("mpeg4", rate=1)
    stream.width = stream.height = 16
    for number in range(count):
        picture = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")
        picture.pts, picture.time_base = number, Fraction(1, 1)
        for packet in stream.encode(picture):
            container.mux(packet)
    for packet in stream.encode(None):
        container.mux(packet)


def move_ogg(data: bytes, *, late_s: float = 0.0, hole: tuple[float, float] | None = None) -> bytes:
    """Move the pages of an Ogg file of `RATE_HZ` on its clock, with right checksums."""
    moved = bytearray(data)
    at = 0
    while at < len(moved):
        size = 27 + moved[at + 26] + sum(moved[at + 27 : at + 27 + moved[at + 26]])
        position = struct.unpack_from("<Q", moved, at + 6)[0]
        if 0 < position < 1 << 63:
            begun = hole is not None and position / RATE_HZ > hole[0]
            shift_s = late_s + (hole[1] if begun else 0.0)
            struct.pack_into("<Q", moved, at + 6, position + round(shift_s * RATE_HZ))
            struct.pack_into("<I", moved, at + 22, 0)
            struct.pack_into("<I", moved, at + 22, _ogg_checksum(moved[at : at + size]))
        at += size
    return bytes(moved)


def _ogg_checksum(page: bytes) -> int:
    value = 0
    for byte in page:
        value ^= byte << 24
        for _ in range(8):
            value = value << 1 ^ (0x04C1_1DB7 if value >> 31 else 0)
            value &= 0xFFFF_FFFF
    return value


def patch(data: bytes, at: int, form: str, *values: int) -> bytes:
    """Return `data` with numbers packed at an offset."""
    changed = bytearray(data)
    struct.pack_into(form, changed, at, *values)
    return bytes(changed)


def forget_flac_length(data: bytes) -> bytes:
    """Return a FLAC file as a program writes it to a pipe: the number of samples is 0."""
    return patch(patch(data, 21, ">B", data[21] & 0xF0), 22, ">I", 0)

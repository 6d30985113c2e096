"""FFmpeg's decoders through PyAV: what libsndfile refuses, and what is left of damaged files."""

from __future__ import annotations

from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from gaudi_asr_cli.core.data.decoded import Decoded, find_end_s

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from gaudi_asr_cli.core.records import AudioSpan

_SEEK_MARGIN_S = 1.0
"""Lossy codecs need some frames before the first whole one; they are cut off again by time."""

_SCALES = {"u8": (128.0, 128.0), "s16": (0.0, 2.0**15), "s32": (0.0, 2.0**31)}
"""Sample format -> what is subtracted, what it is divided by, to reach -1 to 1."""


def decode_with_ffmpeg(source: IO[bytes], span: AudioSpan) -> Decoded | None:
    """What can be decoded of `span`, packet by packet; None where no sound at all comes out."""
    chunks: list[NDArray[np.float32]] = []
    rate_hz, begin_s, total_s = 0, 0.0, None
    try:
        with _opened(source) as (container, stream):
            total_s = _stream_total_s(container, stream)
            end_s = find_end_s(span, total_s)
            _seek(container, span.start_s)
            for frame in _frames(container, stream):
                if not chunks:
                    rate_hz, begin_s = frame.sample_rate, max(0.0, frame.time or 0.0)
                    decoded_s = begin_s
                chunks.append(_to_float(frame))
                decoded_s += len(chunks[-1]) / rate_hz
                if decoded_s >= end_s:
                    break
    except _errors():
        # What was decoded until here is what is left; with nothing left the caller names the file.
        pass
    if not chunks:
        return None
    samples = _cut(np.concatenate(chunks), rate_hz, span.start_s - begin_s, end_s - begin_s)
    return Decoded(samples, rate_hz, total_s)


def read_total_s_with_ffmpeg(source: IO[bytes]) -> float | None:
    """Seconds of sound according to the container; counted packet by packet where it says nothing.

    None where FFmpeg finds no audio.
    """
    try:
        with _opened(source) as (container, stream):
            total_s = _stream_total_s(container, stream)
            if total_s is None:
                total_s = sum(f.samples / f.sample_rate for f in _frames(container, stream))
    except _errors():
        return None
    return total_s


@contextmanager
def _opened(source: IO[bytes]) -> Iterator[tuple[Any, Any]]:
    import av

    # A play list renamed to .wav must not make FFmpeg open other files or addresses.
    options = {"protocol_whitelist": "none"}
    with av.open(source, options=options, metadata_errors="ignore") as container:
        yield container, container.streams.audio[0]


def _errors() -> tuple[type[Exception], ...]:
    """Each of these was raised by PyAV on some real file."""
    import av

    return (av.error.FFmpegError, ValueError, IndexError, UnicodeDecodeError, AttributeError)


def _stream_total_s(container: Any, stream: Any) -> float | None:
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    # AV_TIME_BASE: the unit of a container's duration is a microsecond.
    return container.duration / 1e6 if container.duration is not None else None


def _seek(container: Any, start_s: float) -> None:
    if start_s > _SEEK_MARGIN_S:
        container.seek(int((start_s - _SEEK_MARGIN_S) * 1e6))


def _frames(container: Any, stream: Any) -> Iterator[Any]:
    """Frames of one rate and channel count; a packet that cannot be decoded is passed over."""
    first = None
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except _errors():
            continue
        for frame in frames:
            kind = (frame.sample_rate, frame.layout.nb_channels)
            first = first or kind
            if kind == first:
                yield frame


def _to_float(frame: Any) -> NDArray[np.float32]:
    """A frame as float32 (T, C)."""
    array = frame.to_ndarray()
    columns = array.T if frame.format.is_planar else array.reshape(-1, frame.layout.nb_channels)
    offset, scale = _SCALES.get(frame.format.name.rstrip("p"), (0.0, 1.0))
    # In double precision first: 2**31 - 1 has no float32 of its own.
    scaled: NDArray[np.float32] = ((columns.astype(np.float64) - offset) / scale).astype(np.float32)
    return scaled


def _cut(
    samples: NDArray[np.float32], rate_hz: int, start_s: float, end_s: float
) -> NDArray[np.float32]:
    start = max(0, round(start_s * rate_hz))
    stop = len(samples) if end_s == float("inf") else max(start, round(end_s * rate_hz))
    return samples[start:stop]

"""FFmpeg's decoders through PyAV, for formats beyond libsndfile and for damaged files."""

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
"""Lossy codecs need some frames of context; they are cut off again by their time stamps."""

_SCALES = {"u8": (128.0, 128.0), "s16": (0.0, 2.0**15), "s32": (0.0, 2.0**31)}
"""Sample format -> (offset to subtract, scale to divide by) for a range of -1 to 1."""


def decode_with_ffmpeg(source: IO[bytes], span: AudioSpan) -> Decoded | None:
    """Decode `span` packet by packet, as far as possible; None where nothing can be decoded."""
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
        # Keep what was decoded so far; without any, the caller raises an error that names the file.
        pass
    if not chunks:
        return None
    samples = _cut(np.concatenate(chunks), rate_hz, span.start_s - begin_s, end_s - begin_s)
    return Decoded(samples, rate_hz, total_s)


def read_total_s_with_ffmpeg(source: IO[bytes]) -> float | None:
    """Return the seconds of audio by the container, or counted by packets where it has none.

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

    # A playlist renamed to .wav must not make FFmpeg open other files or URLs.
    options = {"protocol_whitelist": "none"}
    with av.open(source, options=options, metadata_errors="ignore") as container:
        yield container, container.streams.audio[0]


def _errors() -> tuple[type[Exception], ...]:
    """Return the exceptions that PyAV raises on damaged files: each was seen on a real one."""
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
    """Yield frames of one rate and channel count; skip packets that cannot be decoded."""
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
    """Return a frame as float32 (T, C)."""
    array = frame.to_ndarray()
    columns = array.T if frame.format.is_planar else array.reshape(-1, frame.layout.nb_channels)
    offset, scale = _SCALES.get(frame.format.name.rstrip("p"), (0.0, 1.0))
    # In double precision first: float32 cannot represent 2**31 - 1.
    scaled: NDArray[np.float32] = ((columns.astype(np.float64) - offset) / scale).astype(np.float32)
    return scaled


def _cut(
    samples: NDArray[np.float32], rate_hz: int, start_s: float, end_s: float
) -> NDArray[np.float32]:
    start = max(0, round(start_s * rate_hz))
    stop = len(samples) if end_s == float("inf") else max(start, round(end_s * rate_hz))
    return samples[start:stop]

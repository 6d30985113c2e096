"""FFmpeg's decoders through PyAV, for formats beyond libsndfile and for damaged files."""

from __future__ import annotations

import math
import os
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from gaudi_asr_cli.core.data.clock import Clock
from gaudi_asr_cli.core.data.containers.ogg import LateStart, find_late_start
from gaudi_asr_cli.core.data.decoded import Decoded
from gaudi_asr_cli.core.data.tracks import find_track

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

_SEEK_MARGIN_S = 1.0
"""Lossy codecs need some frames of context; they are cut off again by their time stamps."""

_SCALES = {"u8": (128.0, 128.0), "s16": (0.0, 2.0**15), "s32": (0.0, 2.0**31)}
"""Sample format -> (offset to subtract, scale to divide by) for a range of -1 to 1."""

_CLOCKED = {"matroska", "mov", "ogg", "mpegts", "mpeg", "flv", "asf", "nut", "mxf", "rm"}
"""Containers that give the time of each packet."""

_UNBROKEN = {"flac"}
"""Formats whose frames are numbered: a hole in them is damage, as nothing else makes one."""

_FREE_RUNNING = {"mpegts", "mpeg"}
"""Containers whose clock begins anywhere: with their first packet."""

_LONGEST_PACKET_S = 60.0
_BLOCK_S = 60
_HALF_SAMPLE_S = 1e-6
"""Less than half a sample at any rate, for comparing times of samples."""


@dataclass(frozen=True, slots=True)
class TrackFacts:
    """An audio track as its packets show it: `total_s` is where its audio ends.

    `declared_s` is what the header declares, where the file may hold less; `languages` are those
    of all audio tracks, `track` is the one that was read. `jumps` counts breaks of its clock.
    """

    total_s: float
    declared_s: float | None
    languages: tuple[str, ...]
    track: int
    rate_hz: int
    jumps: int = 0


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Samples (T, C), or `silence_s` where there are none; `undecoded` is set for damage."""

    samples: Samples | None
    rate_hz: int
    silence_s: float = 0.0
    undecoded: bool = False


def inspect_with_ffmpeg(source: IO[bytes], track: int | str | None = None) -> TrackFacts | None:
    """Return the facts of an audio track from its packets; None where FFmpeg finds no audio.

    Raises:
        NoTrackError: There is no such track.
    """
    try:
        with _opened(source, track) as (container, stream, times):
            facts = TrackFacts(
                total_s=0.0,
                declared_s=_read_declared_s(container, stream),
                languages=_languages(container),
                track=tuple(container.streams.audio).index(stream),
                rate_hz=int(stream.codec_context.sample_rate or 0),
            )
            clock = _count_packets(container, stream, times)
        if clock is None:
            source.seek(0)
            with _opened(source, track) as (container, stream, times):
                clock = _count_frames(container, stream, times)
    except _errors():
        return None
    return replace(facts, total_s=clock.at_s, jumps=clock.jumps)


def count_samples(source: IO[bytes]) -> int:
    """Decode all and return the samples of a channel up to the end; 0 where there is no audio.

    Frames that are missing between others count.
    """
    clock, rate_hz = Clock(fills=True), 0
    try:
        with _opened(source, None) as (container, stream, _):
            for frame in _frames(container, stream):
                rate_hz = frame.sample_rate
                clock.place(frame.time)
                clock.at_s += frame.samples / rate_hz
    except _errors():
        pass
    return round(clock.at_s * rate_hz)


def decode_with_ffmpeg(
    source: IO[bytes],
    start_s: float,
    end_s: float,
    track: int | str | None = None,
    *,
    seek: bool = True,
) -> Decoded | None:
    """Decode from `start_s` to `end_s`, packet by packet, as far as possible; None for nothing.

    Args:
        source: The encoded audio.
        start_s: Start on the container's clock.
        end_s: End on it; infinity for the end of the audio.
        track: The audio track, by number or language.
        seek: Whether its clock is continuous, so that decoding may begin near `start_s`.
    """
    kept = _Kept(start_s, end_s)
    begin_s = start_s - _SEEK_MARGIN_S if seek and start_s > _SEEK_MARGIN_S else 0.0
    try:
        with _opened(source, track) as (container, stream, times):
            for chunk in _placed(container, stream, times, kept, begin_s):
                kept.add(chunk)
                if kept.at_s >= end_s:
                    break
    except _errors():
        # Keep what was decoded so far; without any, the caller raises an error that names the file.
        pass
    if begin_s and kept.begin_s > start_s:
        source.seek(0)
        return decode_with_ffmpeg(source, start_s, end_s, track, seek=False)
    return kept.join()


def stream_with_ffmpeg(
    source: IO[bytes], track: int | str | None = None
) -> Iterator[tuple[Samples, int]]:
    """Yield the audio of a track from the container's start, in blocks (T, C) with their rate."""
    channels, rate_hz = 1, 0
    try:
        with _opened(source, track) as (container, stream, times):
            channels = stream.codec_context.channels
            for chunk in _placed(container, stream, times, _Kept(0.0, math.inf), 0.0):
                rate_hz = chunk.rate_hz
                if chunk.samples is not None:
                    yield chunk.samples, rate_hz
                    continue
                left = round(chunk.silence_s * rate_hz)
                while left > 0:
                    size = min(left, _BLOCK_S * rate_hz)
                    yield np.zeros((size, channels), np.float32), rate_hz
                    left -= size
    except _errors():
        # The rest is counted as lost by the caller.
        return


class _Kept:
    """The chunks of a span, cut to it; silence is kept as its length until the end."""

    def __init__(self, start_s: float, end_s: float) -> None:
        self.start_s, self.end_s = start_s, end_s
        self.begin_s = 0.0
        self.at_s = 0.0
        self.undecoded_s = 0.0
        self._chunks: list[Samples | int] = []
        self._rate_hz = 0
        self._samples = 0

    def begin(self, begin_s: float) -> None:
        """Begin at a position of the container's clock."""
        self.begin_s = self.at_s = begin_s

    def add(self, chunk: _Chunk) -> None:
        """Add a chunk after the others."""
        self._rate_hz = chunk.rate_hz
        size = round(chunk.silence_s * chunk.rate_hz) if chunk.samples is None else None
        begin = self._samples
        self._samples += len(chunk.samples) if chunk.samples is not None else size or 0
        self.at_s = self.begin_s + self._samples / chunk.rate_hz
        # Rounded once, from the beginning, so that a span begins on its sample.
        low = max(0, round((self.start_s - self.begin_s) * chunk.rate_hz) - begin)
        high = self._samples - begin
        if self.end_s != math.inf:
            high = min(high, round((self.end_s - self.begin_s) * chunk.rate_hz) - begin)
        if low >= high:
            return
        if chunk.samples is None:
            self._chunks.append(high - low)
            self.undecoded_s += (high - low) / chunk.rate_hz if chunk.undecoded else 0.0
        else:
            self._chunks.append(chunk.samples[low:high])

    def join(self) -> Decoded | None:
        """Return the samples of the span; None where there are none, or only silence."""
        channels = next((one.shape[1] for one in self._chunks if not isinstance(one, int)), None)
        if not self._chunks:
            return None
        parts = [
            np.zeros((one, channels or 1), np.float32) if isinstance(one, int) else one
            for one in self._chunks
        ]
        return Decoded(np.concatenate(parts), self._rate_hz, self.undecoded_s)


@dataclass(frozen=True, slots=True)
class _Times:
    """Turns times of FFmpeg into those of the container's clock, which starts at `origin_s`.

    With a `late` start the audio of the first page has times as if it started at 0.
    """

    origin_s: float
    late: LateStart | None

    def find(self, time_s: float | None) -> float | None:
        """Return a time on the container's clock."""
        if time_s is None:
            return None
        found_s = time_s - self.origin_s
        if self.late is not None and found_s < self.late.page_s - _HALF_SAMPLE_S:
            found_s += self.late.late_s
        return found_s


@contextmanager
def _opened(source: IO[bytes], track: int | str | None) -> Iterator[tuple[Any, Any, _Times]]:
    import av.stream

    # A playlist renamed to .wav must not make FFmpeg open other files or URLs.
    options = {"protocol_whitelist": "none"}
    with av.open(source, options=options, metadata_errors="ignore") as container:
        streams = container.streams.audio
        number = find_track(_languages(container), _default_track(streams), track)
        for stream in container.streams:
            if stream is not streams[number]:
                stream.discard = av.stream.Discard.all
        stream = streams[number]
        late = None
        if container.format.name == "ogg" and stream.codec_context.name == "flac":
            late = _find_late_start(source)
        yield container, stream, _Times(_find_origin_s(container), late)


def _find_late_start(source: IO[bytes]) -> LateStart | None:
    at = source.tell()
    try:
        return find_late_start(source, source.seek(0, os.SEEK_END))
    finally:
        source.seek(at)


def _default_track(streams: Any) -> int:
    marked = (number for number, one in enumerate(streams) if _is_default(one))
    return next(marked, 0)


def _is_default(stream: Any) -> bool:
    import av.stream

    return bool(stream.disposition & av.stream.Disposition.default)


def _languages(container: Any) -> tuple[str, ...]:
    return tuple(one.metadata.get("language", "") for one in container.streams.audio)


def _errors() -> tuple[type[Exception], ...]:
    """Return the exceptions that PyAV raises on damaged files: each was seen on a real one."""
    import av

    return (av.error.FFmpegError, ValueError, IndexError, UnicodeDecodeError, AttributeError)


def _has_clock(container: Any) -> bool:
    return container.format.name.partition(",")[0] in _CLOCKED | _UNBROKEN


def _find_origin_s(container: Any) -> float:
    """Return the container's start in the times of its packets."""
    if container.format.name not in _FREE_RUNNING or container.start_time is None:
        return 0.0
    # AV_TIME_BASE: the unit of a container's times is a microsecond.
    return float(container.start_time / 1e6)


def _read_declared_s(container: Any, stream: Any) -> float | None:
    """Return where the header says that the track's audio ends; None where it does not know."""
    kind = container.format.name.partition(",")[0]
    if kind == "mov" and stream.duration and stream.time_base is not None:
        return float((stream.duration + max(stream.start_time or 0, 0)) * stream.time_base)
    if kind != "matroska":
        return None
    tag = stream.metadata.get("DURATION")
    if tag is not None:
        return _parse_clock(tag)
    is_alone = len(container.streams) == 1
    return container.duration / 1e6 if is_alone and container.duration else None


def _parse_clock(text: str) -> float | None:
    """Read hours, minutes and seconds."""
    try:
        hours, minutes, seconds = text.strip("\0 ").split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return None


def _count_packets(container: Any, stream: Any, times: _Times) -> Clock | None:
    """Place every packet on the clock; None where packets do not say how long they are."""
    # FFmpeg does not know how long the packets of Vorbis are before it decodes them.
    if stream.codec_context.name == "vorbis":
        return None
    clock = Clock(_has_clock(container))
    last, duration_s = None, 0.0
    for packet in container.demux(stream):
        if not packet.size:
            continue
        last = packet
        if not packet.duration:
            return None
        duration_s = float(packet.duration * packet.time_base)
        if duration_s > _LONGEST_PACKET_S:
            return None
        time_s = times.find(None if packet.pts is None else float(packet.pts * packet.time_base))
        if time_s is not None and time_s < 0 and clock.fills and not clock.jumps:
            # The encoder's delay, which is cut off.
            duration_s, time_s = max(0.0, duration_s + time_s), 0.0
        clock.place(time_s)
        clock.at_s += duration_s
    if last is not None and not _is_whole(last):
        clock.at_s -= duration_s
    return clock


def _is_whole(packet: Any) -> bool:
    """Return whether a packet, the last of a file that may be truncated, can be decoded."""
    try:
        packet.decode()
    except _errors():
        return False
    return True


def _count_frames(container: Any, stream: Any, times: _Times) -> Clock:
    """Decode everything to place it on the clock."""
    kept = _Kept(0.0, 0.0)
    clock = Clock(_has_clock(container))
    for chunk in _placed(container, stream, times, kept, 0.0, clock):
        kept.add(chunk)
    clock.at_s = kept.at_s
    return clock


def _placed(
    container: Any,
    stream: Any,
    times: _Times,
    kept: _Kept,
    begin_s: float,
    clock: Clock | None = None,
) -> Iterator[_Chunk]:
    """Yield decoded audio and the silence between it, from `begin_s` on or a little earlier."""
    clock = clock or Clock(_has_clock(container))
    if begin_s:
        container.seek(int((begin_s + times.origin_s) * 1e6))
    is_first, failures = True, _Failures()
    trims = container.format.name.startswith("mov")
    for frame, is_last in _mark_last(_frames(container, stream, failures)):
        rate_hz, samples = frame.sample_rate, _to_float(frame)
        if is_last and trims:
            samples = _trim(samples, frame)
        time_s = times.find(frame.time)
        if time_s is not None and time_s < 0 and clock.fills and not clock.jumps:
            samples, time_s = samples[round(-time_s * rate_hz) :], 0.0
        if is_first and (begin_s or not clock.fills):
            clock.at_s = max(0.0, time_s or 0.0)
            kept.begin(clock.at_s)
        is_first = False
        silence_s = clock.place(time_s)
        damaged = failures.clear() or container.format.name in _UNBROKEN
        if silence_s:
            yield _Chunk(None, rate_hz, silence_s, damaged)
        clock.at_s += len(samples) / rate_hz
        if len(samples):
            yield _Chunk(samples, rate_hz)


def _mark_last(frames: Iterator[Any]) -> Iterator[tuple[Any, bool]]:
    """Yield each frame, and whether it is the last."""
    before = None
    for frame in frames:
        if before is not None:
            yield before, False
        before = frame
    if before is not None:
        yield before, True


def _trim(samples: Samples, frame: Any) -> Samples:
    """Cut the last frame of an MP4 file to the length that its packet declares."""
    if not frame.duration or frame.time_base is None:
        return samples
    kept = round(float(frame.duration * frame.time_base) * frame.sample_rate)
    return samples[:kept] if 0 < kept < len(samples) else samples


class _Failures:
    """Packets that could not be decoded since the last frame."""

    def __init__(self) -> None:
        self._any = False

    def add(self) -> None:
        self._any = True

    def clear(self) -> bool:
        """Return whether there were any, and forget them."""
        had, self._any = self._any, False
        return had


def _frames(container: Any, stream: Any, failures: _Failures | None = None) -> Iterator[Any]:
    """Yield frames of one rate and channel count; skip packets that cannot be decoded."""
    first = None
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except _errors():
            if failures is not None:
                failures.add()
            continue
        for frame in frames:
            if not _has_its_planes(frame):
                if failures is not None:
                    failures.add()
                continue
            kind = (frame.sample_rate, frame.layout.nb_channels)
            first = first or kind
            if kind == first:
                yield frame


def _has_its_planes(frame: Any) -> bool:
    """Return whether a frame has a plane a channel.

    Of damaged files PyAV counts planes beyond the channels, and reading those ends the process.
    """
    return not frame.format.is_planar or len(frame.planes) == frame.layout.nb_channels


def _to_float(frame: Any) -> Samples:
    """Return a frame as float32 (T, C)."""
    array = frame.to_ndarray()
    columns = array.T if frame.format.is_planar else array.reshape(-1, frame.layout.nb_channels)
    offset, scale = _SCALES.get(frame.format.name.rstrip("p"), (0.0, 1.0))
    # In double precision first: float32 cannot represent 2**31 - 1.
    scaled: Samples = ((columns.astype(np.float64) - offset) / scale).astype(np.float32)
    return scaled

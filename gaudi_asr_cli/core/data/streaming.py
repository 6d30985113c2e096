"""Sequential decoding of long files.

libsndfile reads most formats from any position. An MP3 frame needs bits of the frames before it,
so a decoder that starts in the middle is wrong for a moment, and libmpg123 warns about it on
standard error; FFmpeg's containers may have no index. Both, and files of several parts, are decoded
from their start to their end.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from gaudi_asr_cli.core.data.audio import LOSS_TOLERANCE_S, LoadedAudio
from gaudi_asr_cli.core.data.channels import mix_down
from gaudi_asr_cli.core.data.decoded import LOWEST_RATE_HZ
from gaudi_asr_cli.core.data.ffmpeg import stream_with_ffmpeg
from gaudi_asr_cli.core.data.source import AudioSource, name_span
from gaudi_asr_cli.core.data.timeline import Part, find_timeline
from gaudi_asr_cli.core.data.unreadable import file_errors
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ, AudioSpan

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]
    RatedSamples = tuple[int, Samples]

BLOCK_S = 60


def is_sequential(span: AudioSpan) -> bool:
    """Return whether the span is a whole file that is best read from its start to its end."""
    if span.start_s or span.duration_s is not None or span.raw is not None:
        return False
    try:
        parts = find_timeline(AudioSource.find(span), span.track).parts
    except (DataError, OSError):
        # Loading the file reports what is wrong with it.
        return False
    first = parts[0]
    if first.rate_hz and first.rate_hz < LOWEST_RATE_HZ:
        return False
    return len(parts) > 1 or first.by_ffmpeg or first.form == "MP3"


def stream_audio(span: AudioSpan, *, channel: int | None = None) -> Iterator[LoadedAudio]:
    """Yield what `load_audio` would return for a whole file, in blocks of about a minute.

    The last block has the seconds that the header declares and the file lacks.

    Raises:
        DataError: There is no such channel, or reading the file fails.
    """
    with file_errors(name_span(span)):
        yield from _stream(span, channel if span.channel is None else span.channel)


def _stream(span: AudioSpan, channel: int | None) -> Iterator[LoadedAudio]:
    source = AudioSource.find(span)
    timeline = find_timeline(source, span.track)
    notes: dict[str, None] = {}
    read = 0
    mono = _read_mono(source, timeline.parts, span, channel, notes)
    for rate_hz, group in groupby(mono, key=lambda one: one[0]):
        for block in _resample((samples for _, samples in group), rate_hz):
            read += len(block)
            yield LoadedAudio(block)
    lost_s = timeline.promised_s - read / SAMPLE_RATE_HZ
    last_s = lost_s if lost_s > LOSS_TOLERANCE_S else 0.0
    yield LoadedAudio(np.zeros(0, np.float32), last_s, tuple(notes))


def _read_mono(
    source: AudioSource,
    parts: tuple[Part, ...],
    span: AudioSpan,
    channel: int | None,
    notes: dict[str, None],
) -> Iterator[RatedSamples]:
    """Yield blocks (T,) with their sample rate: the mean of all channels, or one of them."""
    for part in parts:
        blocks = _read_with_ffmpeg if part.by_ffmpeg else _read_with_soundfile
        for samples, rate_hz in blocks(source, part, span):
            mixed, note = mix_down(samples, channel, source.name)
            notes.update({note: None} if note else {})
            yield rate_hz, mixed


def _read_with_ffmpeg(
    source: AudioSource, part: Part, span: AudioSpan
) -> Iterator[tuple[Samples, int]]:
    """Yield blocks (T, C) of at least a second, so that frames do not pass one by one."""
    with source.open(pieces=part.pieces) as file:
        waiting: list[Samples] = []
        held, rate_hz = 0, 0
        for samples, rate in stream_with_ffmpeg(file, span.track):
            rate_hz, held = rate, held + len(samples)
            waiting.append(samples)
            if held >= BLOCK_S * rate_hz:
                yield np.concatenate(waiting), rate_hz
                waiting, held = [], 0
        if waiting:
            yield np.concatenate(waiting), rate_hz


def _read_with_soundfile(
    source: AudioSource, part: Part, span: AudioSpan
) -> Iterator[tuple[Samples, int]]:
    with source.open_soundfile(part.pieces) as file:
        left = part.frames
        # In a seekable file, soundfile seeks to the current position after every block.
        file.seekable = lambda: False
        while left > 0 and len(samples := _read_block(file, left)):
            left -= len(samples)
            yield samples, part.rate_hz


def _read_block(file: Any, most: int) -> Samples:
    """Read the next samples (T, C); none at the end, or where decoding fails."""
    size = min(most, BLOCK_S * file.samplerate)
    try:
        block: Samples = file.read(size, dtype="float32", always_2d=True)
    except RuntimeError:
        # libsndfile cannot go on; the rest is counted as lost.
        return np.zeros((0, file.channels), dtype=np.float32)
    return block


def _resample(blocks: Iterator[Samples], rate_hz: int) -> Iterator[Samples]:
    """Resample the blocks to 16 kHz; the filter keeps its state between blocks."""
    if rate_hz == SAMPLE_RATE_HZ:
        yield from map(np.ascontiguousarray, blocks)
        return
    import soxr

    stream = soxr.ResampleStream(rate_hz, SAMPLE_RATE_HZ, 1, dtype="float32", quality="HQ")
    for block in blocks:
        yield stream.resample_chunk(np.ascontiguousarray(block))
    yield stream.resample_chunk(np.zeros(0, np.float32), last=True)

"""Load audio: any format, sample rate and channel count to 16 kHz mono float32.

soundfile is tried first (fast, seeks to the sample); FFmpeg decodes what soundfile rejects or
decodes only in part. Of a damaged file the decodable part is returned, with the seconds lost.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from gaudi_asr_cli.core.data.channels import mix_down
from gaudi_asr_cli.core.data.decoded import LOWEST_RATE_HZ, Decoded, find_end_s
from gaudi_asr_cli.core.data.ffmpeg import decode_with_ffmpeg
from gaudi_asr_cli.core.data.source import AudioSource, name_span, reject_unreadable
from gaudi_asr_cli.core.data.timeline import Part, Timeline, find_timeline
from gaudi_asr_cli.core.data.unreadable import file_errors
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ, AudioSpan, Speech

if TYPE_CHECKING:
    from numpy.typing import NDArray

LOSS_TOLERANCE_S = 0.1
"""Headers of mp3 and ogg are exact to a few frames of 26 ms; less than this is not a loss."""

CHANNELS_PROBE_S = 0.1
"""Audio that is decoded to count the channels."""

_BLOCK_FRAMES = 2**22


@dataclass(frozen=True, slots=True)
class LoadedAudio:
    """Audio at 16 kHz: `samples` is float32 (T,), mono.

    `lost_s` is how many seconds the header or the span declares and the file no longer holds;
    `notes` say what is unusual about the audio, without the name of its file. `speech` is where
    there is speech, if that was detected.
    """

    samples: NDArray[np.float32]
    lost_s: float = 0.0
    notes: tuple[str, ...] = ()
    speech: Speech | None = None


def load_audio(span: AudioSpan, *, channel: int | None = None) -> LoadedAudio:
    """Load only `span`, mixed down to mono (or one `channel`, counted from 0), at 16 kHz.

    A channel of the span itself comes before `channel`.

    Raises:
        DataError: The file is missing, empty, not audio, or nothing of the span can be decoded.
            Any other exception while reading becomes a DataError of the file too.
    """
    with file_errors(name_span(span)):
        return _load(span, channel if span.channel is None else span.channel)


def _load(span: AudioSpan, channel: int | None) -> LoadedAudio:
    source = AudioSource.find(span)
    timeline = find_timeline(source, span.track)
    mono: list[tuple[int, NDArray[np.float32]]] = []
    notes: dict[str, None] = {}
    held_s = 0.0
    for decoded in _decode_parts(source, timeline, span):
        samples, note = mix_down(decoded.samples, channel, source.name)
        _check_samples(samples, decoded.rate_hz, source.name)
        mono.append((decoded.rate_hz, samples))
        held_s += decoded.duration_s - decoded.undecoded_s
        notes.update({note: None} if note else {})
    samples = _resample_all(mono)
    if len(samples) == 0:
        raise _no_audio(source, span, timeline.total_s)
    lost_s = _find_declared_end_s(span, timeline) - span.start_s - held_s
    return LoadedAudio(samples, lost_s if lost_s > LOSS_TOLERANCE_S else 0.0, tuple(notes))


def read_duration_s(span: AudioSpan) -> float:
    """Return the seconds that `span` covers; its file is not decoded where its header knows.

    Raises:
        DataError: The file is missing, empty or not audio, or the span begins after its end.
            Any other exception while reading becomes a DataError of the file too.
    """
    with file_errors(name_span(span)):
        source = AudioSource.find(span)
        total_s = find_timeline(source, span.track).total_s
        left_s = total_s - span.start_s
        if left_s <= 0:
            raise _no_audio(source, span, total_s)
        return left_s if span.duration_s is None else min(left_s, span.duration_s)


def read_whole(span: AudioSpan) -> tuple[float, tuple[str, ...]]:
    """Return the seconds of the whole file that `span` lies in, and notes on the file.

    Raises:
        DataError: The file is missing, empty or not audio, or reading it fails.
    """
    with file_errors(name_span(span)):
        timeline = find_timeline(AudioSource.find(span), span.track)
        return timeline.total_s, timeline.notes


def count_channels(span: AudioSpan) -> int:
    """Return the number of channels of the file that `span` lies in; the file is opened anew.

    Raises:
        DataError: The file is missing, empty or not audio, or reading it fails.
    """
    with file_errors(name_span(span)):
        source = AudioSource.find(span)
        part = find_timeline(source, span.track).parts[0]
        start = replace(span, duration_s=CHANNELS_PROBE_S)
        return int(_decode(source, part, start).samples.shape[1])


def read_rate_hz(span: AudioSpan) -> int:
    """Return the sample rate of the file that `span` lies in, from its header.

    Raises:
        DataError: The file is missing, empty or not audio, or reading it fails.
    """
    with file_errors(name_span(span)):
        return find_timeline(AudioSource.find(span), span.track).parts[0].rate_hz


def _decode_parts(source: AudioSource, timeline: Timeline, span: AudioSpan) -> list[Decoded]:
    """Decode what `span` covers of each part."""
    parts = timeline.parts
    if len(parts) == 1:
        return [_decode(source, parts[0], span)]
    end_s = find_end_s(span, timeline.total_s)
    return [
        _decode(source, part, _cut_to_part(span, part, end_s))
        for part in parts
        if part.start_s < end_s and (part.stop_s > span.start_s or part is parts[-1])
    ]


def _cut_to_part(span: AudioSpan, part: Part, end_s: float) -> AudioSpan:
    """Return the span in the times of a part; without a duration it reaches the part's end."""
    start_s = max(0.0, span.start_s - part.start_s)
    duration_s = None if end_s >= part.stop_s else end_s - part.start_s - start_s
    return replace(span, start_s=start_s, duration_s=duration_s)


def _decode(source: AudioSource, part: Part, span: AudioSpan) -> Decoded:
    """Decode with soundfile; where it fails or falls short, with FFmpeg too; return the longer."""
    first = None if part.by_ffmpeg else _decode_with_soundfile(source, part, span)
    falls_short = first is not None and _falls_short(first, part, span)
    if first is not None and (source.raw is not None or not falls_short):
        return first
    if source.may_be_headerless:
        raise reject_unreadable(source)
    with source.open(pieces=part.pieces) as file:
        end_s = find_end_s(span, part.duration_s)
        second = decode_with_ffmpeg(file, span.start_s, end_s, span.track, seek=part.steady)
    found = [decoded for decoded in (first, second) if decoded is not None]
    if not found:
        raise reject_unreadable(source)
    # Of the same audio, the one that has kept its places on the clock.
    return max(found, key=lambda one: (round(one.duration_s - one.undecoded_s, 2), one.duration_s))


def _falls_short(decoded: Decoded, part: Part, span: AudioSpan) -> bool:
    end_s = min(find_end_s(span, part.duration_s), part.duration_s)
    return end_s - span.start_s - decoded.duration_s > LOSS_TOLERANCE_S


def _decode_with_soundfile(source: AudioSource, part: Part, span: AudioSpan) -> Decoded | None:
    """Decode the span with libsndfile; None where it cannot read the file."""
    try:
        with source.open_soundfile(part.pieces) as file:
            rate_hz, total_frames = part.rate_hz, part.frames
            start = min(round(span.start_s * rate_hz), total_frames)
            end_s = find_end_s(span, total_frames / rate_hz)
            stop = min(round(min(end_s * rate_hz, total_frames)), total_frames)
            file.seek(start)
            samples = _read_frames(file, stop - start)
    except (RuntimeError, ValueError):
        # LibsndfileError is a RuntimeError; FFmpeg is tried next, and its failure is an error.
        return None
    return Decoded(samples, rate_hz)


def _read_frames(file: Any, frames: int) -> NDArray[np.float32]:
    """Read up to `frames` frames, as float32 (T, C)."""
    # In blocks: a damaged header may declare more frames than there is memory for.
    blocks = [np.zeros((0, file.channels), dtype=np.float32)]
    while frames > 0 and len(
        block := file.read(min(frames, _BLOCK_FRAMES), dtype="float32", always_2d=True)
    ):
        blocks.append(block)
        frames -= len(block)
    return blocks[1] if len(blocks) == 2 else np.concatenate(blocks)


def _find_declared_end_s(span: AudioSpan, timeline: Timeline) -> float:
    """Return where the span should end: as declared by the span, or by the file's header."""
    end_s = find_end_s(span, timeline.total_s)
    return timeline.promised_s if end_s == math.inf else end_s


def _check_samples(samples: NDArray[np.float32], rate_hz: int, name: str) -> None:
    if not np.isfinite(samples).all():
        raise DataError(
            f"{name}: some samples are not finite numbers.",
            remedy="The file is damaged: remove it from the data, or create it again.",
        )
    if rate_hz < LOWEST_RATE_HZ:
        raise DataError(
            f"{name}: the header declares {rate_hz} samples per second, too few for speech.",
            remedy="The header is damaged: remove the file from the data, or create it again.",
        )


def _resample_all(mono: list[tuple[int, NDArray[np.float32]]]) -> NDArray[np.float32]:
    """Resample parts (T,) to 16 kHz, neighbours of one rate together, and join them."""
    joined = [
        _resample(_join([samples for _, samples in group]), rate_hz)
        for rate_hz, group in groupby(mono, key=lambda one: one[0])
    ]
    return _join(joined)


def _join(parts: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    return parts[0] if len(parts) == 1 else np.concatenate([np.zeros(0, np.float32), *parts])


def _resample(samples: NDArray[np.float32], rate_hz: int) -> NDArray[np.float32]:
    if rate_hz == SAMPLE_RATE_HZ:
        return np.ascontiguousarray(samples)
    import soxr

    resampled: NDArray[np.float32] = soxr.resample(samples, rate_hz, SAMPLE_RATE_HZ, quality="HQ")
    return resampled


def _no_audio(source: AudioSource, span: AudioSpan, total_s: float) -> DataError:
    where = f" from {span.start_s:.2f} s on" if span.start_s else ""
    return DataError(
        f"{source.name}: there is no audio{where}; the file is {total_s:.2f} s long.",
        remedy="Remove it from the data, or correct the start and duration of its row.",
    )

"""A long file block by block: memory does not grow with its length."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from gaudi_asr_cli.core.data.audio import LoadedAudio, load_audio, read_duration_s
from gaudi_asr_cli.core.data.streaming import is_mp3, stream_mp3
from gaudi_asr_cli.core.decoding import Decoder
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.inference.chunks import infer_chunks
from gaudi_asr_cli.core.models.geometry import FrameGeometry
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ, AudioSpan, Emissions, Transcript, Utterance

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

LONG_S = 600.0
"""Longer files are read in blocks; shorter ones (38 MB) come whole, which is simpler and faster."""
LONG_BLOCK_S = 120
"""Whole seconds, so that a block starts on a sample at any rate before and after resampling."""
MARGIN_S = 1
"""Sound around a block that filters and decoders need to be warm; it is cut off again."""


@dataclass(frozen=True, slots=True)
class LongFormResult:
    """What was heard in how much sound; `lost_s` was promised and could not be decoded."""

    transcript: Transcript
    duration_s: float
    lost_s: float


def transcribe_long(
    hear: Callable[[Samples], Emissions],
    geometry: FrameGeometry,
    blocks: Iterable[LoadedAudio],
    decoder: Decoder,
    utterance: Utterance,
) -> LongFormResult:
    """The transcript of a sound of any length, of which only a block and a chunk are in memory.

    Args:
        hear: Makes emissions (1, F, V) of a sound (T,).
        geometry: How many frames it makes.
        blocks: The sound, in order: `open_blocks`.
        decoder: Keeps a few bytes of each frame, and makes text of them at the end.
        utterance: Whose sound it is.
    """
    samples, lost_s = 0, 0.0

    def count() -> Iterator[Samples]:
        nonlocal samples, lost_s
        for block in blocks:
            samples, lost_s = samples + len(block.samples), lost_s + block.lost_s
            yield block.samples

    heard = [decoder.condense(part, 0) for part in infer_chunks(hear, count(), geometry)]
    duration_s = samples / SAMPLE_RATE_HZ
    measured = replace(utterance, audio=replace(utterance.audio, duration_s=duration_s))
    return LongFormResult(decoder.spell(heard, measured), duration_s, lost_s)


def open_blocks(span: AudioSpan, *, channel: int | None = None) -> Iterator[LoadedAudio]:
    """The samples of a span of any length at 16 kHz, in order, a minute or two at a time.

    Put together they are what `load_audio` makes of the whole span.

    Raises:
        DataError: Nothing can be read of it.
    """
    if is_mp3(span):
        return stream_mp3(span, channel=channel)
    return load_blocks(span, read_duration_s(span), partial(load_audio, channel=channel))


def load_blocks(
    span: AudioSpan, duration_s: float, load: Callable[[AudioSpan], LoadedAudio]
) -> Iterator[LoadedAudio]:
    """The samples of a span, in order and without a gap, in blocks of two minutes.

    Put together they are what `load` makes of the whole span. Where sound is lost in the middle,
    silence keeps its place, so that all that follows stays on the file's clock; `lost_s` says how
    much of a block that is, or is missing at the end.

    Args:
        span: What to read.
        duration_s: How long it is by its header (`read_duration_s`).
        load: `load_audio` or a fake of it.

    Raises:
        DataError: There is no sound at its beginning; later on that ends the sound.
    """
    missing = 0
    for start_s in range(0, max(1, ceil(duration_s)), LONG_BLOCK_S):
        is_last = start_s + LONG_BLOCK_S + MARGIN_S >= duration_s
        try:
            block = _load_block(span, start_s, is_last, load)
        except DataError:
            if start_s == 0:
                raise
            yield LoadedAudio(np.zeros(0, np.float32), lost_s=duration_s - start_s)
            return
        silence = np.zeros(missing if len(block.samples) else 0, dtype=np.float32)
        yield replace(block, samples=np.concatenate([silence, block.samples]))
        if is_last:
            return
        missing += LONG_BLOCK_S * SAMPLE_RATE_HZ - len(block.samples) - len(silence)


def _load_block(
    span: AudioSpan, start_s: int, is_last: bool, load: Callable[[AudioSpan], LoadedAudio]
) -> LoadedAudio:
    """The block that starts `start_s` into the span; the last one reaches to the span's end."""
    lead_s = min(start_s, MARGIN_S)
    end_s = span.duration_s if is_last else start_s + LONG_BLOCK_S + MARGIN_S
    loaded = load(_cut_span(span, start_s - lead_s, end_s))
    if loaded.lost_s > 0 and not is_last:
        # Nobody knows where in it sound is lost, so the margins cannot be cut off again.
        return load(_cut_span(span, start_s, start_s + LONG_BLOCK_S))
    end = None if is_last else (lead_s + LONG_BLOCK_S) * SAMPLE_RATE_HZ
    return replace(loaded, samples=loaded.samples[lead_s * SAMPLE_RATE_HZ : end])


def _cut_span(span: AudioSpan, start_s: float, end_s: float | None) -> AudioSpan:
    """From `start_s` to `end_s` of the span; None is its end, wherever that is."""
    duration_s = None if end_s is None else end_s - start_s
    return replace(span, start_s=span.start_s + start_s, duration_s=duration_s)

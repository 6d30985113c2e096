"""Long files, transcribed block by block: memory does not grow with their length."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from math import ceil, inf
from typing import TYPE_CHECKING, Any

import numpy as np

from gaudi_asr_cli.core.data.audio import LoadedAudio, load_audio, read_duration_s
from gaudi_asr_cli.core.data.streaming import is_sequential, stream_audio
from gaudi_asr_cli.core.decoding.base import Decoder
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.inference.chunks import infer_chunks
from gaudi_asr_cli.core.models.geometry import FrameGeometry
from gaudi_asr_cli.core.records import (
    SAMPLE_RATE_HZ,
    AudioSpan,
    Emissions,
    Segment,
    Transcript,
    Utterance,
    WordTiming,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

LONG_S = 600.0
"""Longer files are read in blocks; shorter ones (38 MB) are loaded whole, simpler and faster."""
LONG_BLOCK_S = 120
"""Whole seconds, so that a block starts on a sample at any rate, before and after resampling."""
PIECE_S = 10
"""Features are computed of this much audio at once: their arrays fit the cache."""
MARGIN_S = 1
"""Audio around a block that warms up filters and decoders; it is cut off again."""
SAME_WORD_S = 0.05
"""Times of a word that was decoded with more context differ by less."""

WHOLE_AUDIO = ((0.0, inf),)
"""The whole audio, as parts of start and end in seconds."""


@dataclass(frozen=True, slots=True)
class LongFormResult:
    """A transcript and the duration; `lost_s` were in the header but could not be decoded.

    `first_token_s` is the time to the first generated token, where tokens are generated;
    `speech_s` the seconds of speech, if that was detected; `silent_s` is the digital silence before
    all audio.
    """

    transcript: Transcript
    duration_s: float
    lost_s: float
    first_token_s: float | None = field(default=None, compare=False)
    speech_s: float | None = None
    silent_s: float = 0.0


ReportSegment = Callable[[Segment], None]
"""Receives each part of long audio as soon as its text is known, before the whole transcript."""


@dataclass(frozen=True, slots=True)
class InferredLong:
    """Long audio that the network has computed; `decode` makes the transcript, on any thread."""

    lost_s: float
    decode: Callable[[], LongFormResult]


class BlockCounter:
    """Counts the samples of blocks, those before the first that is not zero, and what was lost."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Count again from the start of the audio."""
        self._samples, self.lost_s = 0, 0.0
        self._silent: int | None = None

    def count(self, blocks: Iterable[LoadedAudio]) -> Iterator[Samples]:
        """Yield the samples (T,) of each block in pieces of up to `PIECE_S`."""
        for block in blocks:
            if self._silent is None and block.samples.any():
                self._silent = self._samples + int((block.samples != 0).argmax())
            self._samples += len(block.samples)
            self.lost_s += block.lost_s
            for first in range(0, len(block.samples), PIECE_S * SAMPLE_RATE_HZ):
                yield block.samples[first : first + PIECE_S * SAMPLE_RATE_HZ]

    @property
    def duration_s(self) -> float:
        return self._samples / SAMPLE_RATE_HZ

    @property
    def silent_s(self) -> float:
        """Return the digital silence before all audio, in seconds; 0 where there is no audio."""
        return (self._silent or 0) / SAMPLE_RATE_HZ


def infer_long(
    infer: Callable[[Samples], Emissions],
    geometry: FrameGeometry,
    blocks: Iterable[LoadedAudio],
    decoder: Decoder,
    utterance: Utterance,
    report: ReportSegment | None = None,
) -> InferredLong:
    """Run the network on audio of any length, with only a block and a chunk in memory.

    Args:
        infer: Computes emissions (1, F, V) of samples (T,).
        geometry: Frame geometry of the network behind `infer`.
        blocks: The audio, in order, from `open_blocks`.
        decoder: Keeps a few bytes per frame and assembles the text at the end.
        utterance: The utterance that the audio belongs to.
        report: Receives the text of each chunk, from a thread that decodes it.

    Returns:
        The audio to be decoded; the network may compute other audio meanwhile.
    """
    counter = BlockCounter()
    parts: list[Any] = []
    reporter = None if report is None else _PartReporter(decoder, utterance, report)
    with ThreadPoolExecutor(1, "decode-segments") as pool:
        reports = []
        for emissions in infer_chunks(infer, counter.count(blocks), geometry):
            part = decoder.condense(emissions, 0)
            parts.append(part)
            if reporter is not None:
                duration_s = int(emissions.frames[0]) * emissions.frame_s
                reports.append(pool.submit(reporter.add, part, duration_s))
        if reporter is not None:
            reports.append(pool.submit(reporter.finish))
    for one in reports:
        one.result()
    duration_s = counter.duration_s
    measured = replace(utterance, audio=replace(utterance.audio, duration_s=duration_s))

    def decode() -> LongFormResult:
        transcript = decoder.assemble(parts, measured)
        return LongFormResult(transcript, duration_s, counter.lost_s, silent_s=counter.silent_s)

    return InferredLong(counter.lost_s, decode)


class _PartReporter:
    """Reports the text of chunks as they come, each word once and whole.

    The last word so far is kept back: it may continue in the next chunk.
    """

    def __init__(self, decoder: Decoder, utterance: Utterance, report: ReportSegment) -> None:
        self._decoder = decoder
        self._utterance = utterance
        self._report = report
        # Chunks from the one on in which the word that is kept back starts, and their ends.
        self._parts: list[Any] = []
        self._ends_s: list[float] = []
        self._from_s = self._reported_s = 0.0
        self._kept: WordTiming | None = None

    def add(self, part: Any, duration_s: float) -> None:
        """Report the words of the next chunk, and the one that was kept back."""
        reached_s = self._ends_s[-1] if self._ends_s else self._from_s
        self._parts.append(part)
        self._ends_s.append(reached_s + duration_s)
        transcript = self._decoder.assemble(self._parts, self._utterance)
        if transcript.text and not transcript.words:
            # Without times nothing is known about a word.
            self._send(self._decoder.assemble([part], self._utterance).text)
            self._drop(len(self._parts))
            return
        by_s = self._from_s - self._utterance.audio.start_s
        words = [
            replace(word, start_s=word.start_s + by_s, end_s=word.end_s + by_s)
            for word in transcript.words
        ]
        if self._kept is not None:
            words = [word for word in words if word.start_s > self._kept.start_s - SAME_WORD_S]
        self._kept = words.pop() if words else None
        self._send(" ".join(word.word for word in words))
        first_s = self._ends_s[-1] if self._kept is None else self._kept.start_s
        self._drop(sum(end_s <= first_s for end_s in self._ends_s))

    def finish(self) -> None:
        """Report the word that is kept back."""
        if self._kept is not None:
            self._report(Segment(self._kept.word, self._kept.start_s, self._kept.end_s))

    def _send(self, text: str) -> None:
        self._report(Segment(text, self._reported_s, self._ends_s[-1]))
        self._reported_s = self._ends_s[-1]

    def _drop(self, count: int) -> None:
        if count:
            self._from_s = self._ends_s[count - 1]
            self._parts, self._ends_s = self._parts[count:], self._ends_s[count:]


def open_blocks(span: AudioSpan, *, channel: int | None = None) -> Iterator[LoadedAudio]:
    """Open a span of any length as blocks of a minute or two at 16 kHz, in order.

    Concatenated, they equal the samples of the whole span from `load_audio`.

    Raises:
        DataError: Nothing of the span can be read.
    """
    if is_sequential(span):
        return stream_audio(span, channel=channel)
    return load_blocks(span, read_duration_s(span), partial(load_audio, channel=channel))


def load_blocks(
    span: AudioSpan, duration_s: float, load: Callable[[AudioSpan], LoadedAudio]
) -> Iterator[LoadedAudio]:
    """Yield the samples of a span in blocks of two minutes, in order and without a gap.

    Concatenated, they equal the samples of the whole span from `load`. Audio lost in the middle is
    replaced by silence, so that all later times stay on the file's clock; `lost_s` of a block is
    how much was lost in it, or is missing at the end.

    Args:
        span: The span to read.
        duration_s: Its length according to the header (`read_duration_s`).
        load: `load_audio` or a fake of it.

    Raises:
        DataError: The first block cannot be read; a later one ends the audio.
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
    """Load the block that starts `start_s` into the span; the last one ends with the span."""
    lead_s = min(start_s, MARGIN_S)
    end_s = span.duration_s if is_last else start_s + LONG_BLOCK_S + MARGIN_S
    loaded = load(_cut_span(span, start_s - lead_s, end_s))
    if loaded.lost_s > 0 and not is_last:
        # The position of the loss is unknown, so the margins cannot be cut off again.
        return load(_cut_span(span, start_s, start_s + LONG_BLOCK_S))
    end = None if is_last else (lead_s + LONG_BLOCK_S) * SAMPLE_RATE_HZ
    return replace(loaded, samples=loaded.samples[lead_s * SAMPLE_RATE_HZ : end])


def _cut_span(span: AudioSpan, start_s: float, end_s: float | None) -> AudioSpan:
    """Return the span from `start_s` to `end_s`; None is the end of the span."""
    duration_s = None if end_s is None else end_s - start_s
    return replace(span, start_s=span.start_s + start_s, duration_s=duration_s)

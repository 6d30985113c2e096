"""Long-form transcription in batches of overlapping windows: faster than sequential windows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from gaudi_asr_cli.core.decoding.hypotheses import join_windows, words_of
from gaudi_asr_cli.core.inference.long_form import WHOLE_AUDIO, ReportSegment
from gaudi_asr_cli.core.models.seq2seq.labels import UNSPACED
from gaudi_asr_cli.core.records import (
    SAMPLE_RATE_HZ,
    DecodingStats,
    Hypothesis,
    Segment,
    WordTiming,
    worst_stats,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

OVERLAP = 1 / 3
"""Share of a window that the next one repeats: in 30 s, a cut has 5 s of context on either side."""

GenerateWindows = Callable[[list["Samples"]], tuple[Hypothesis, ...]]
"""Generates the hypotheses of windows (T,) in one batch."""
PlacedWindow = tuple[float, "Samples"]
"""Start of a window in seconds, and its samples (T,)."""


def cut_overlapping(
    blocks: Iterable[Samples],
    window_s: float,
    parts: Iterable[tuple[float, float]] = WHOLE_AUDIO,
) -> Iterator[PlacedWindow]:
    """Yield windows of the parts of audio that comes in blocks; the last of a part may be shorter.

    The windows of one part overlap; parts are spans in seconds, rising, and do not.
    """
    size = round(window_s * SAMPLE_RATE_HZ)
    step = size - round(size * OVERLAP)
    audio = _Blocks(blocks)
    for start_s, end_s in parts:
        first = round(start_s * SAMPLE_RATE_HZ)
        while True:
            # A sample more than a window shows whether the part ends with it.
            samples = audio.read(first, min(first + size + 1, end_s * SAMPLE_RATE_HZ))
            yield first / SAMPLE_RATE_HZ, samples[:size]
            if len(samples) <= size:
                break
            first += step


class _Blocks:
    """Audio that comes in blocks, of which only what is still needed is held."""

    def __init__(self, blocks: Iterable[Samples]) -> None:
        self._blocks = iter(blocks)
        self._held = np.zeros(0, np.float32)
        self._first = 0

    def read(self, first: int, end: float) -> Samples:
        """Return samples `first` to `end`, or to the end of the audio; earlier ones are dropped."""
        while self._first + len(self._held) < end:
            block = next(self._blocks, None)
            if block is None:
                break
            self._drop_before(first)
            self._held = np.concatenate([self._held, block])
        self._drop_before(first)
        return self._held[: round(min(end, self._first + len(self._held))) - first]

    def _drop_before(self, first: int) -> None:
        dropped = min(max(first - self._first, 0), len(self._held))
        self._held, self._first = self._held[dropped:], self._first + dropped


def generate_overlapping(
    windows: Iterable[PlacedWindow],
    generate: GenerateWindows,
    batch_size: int,
    window_s: float,
    report: ReportSegment | None = None,
) -> Hypothesis:
    """Generate the text of audio of any length; times are on the clock of the audio.

    Args:
        windows: From `cut_overlapping`.
        generate: Generates the hypotheses of up to `batch_size` windows.
        batch_size: Windows per batch.
        window_s: Length of a window in seconds.
        report: Receives the text of each window, which overlaps that of the next.
    """
    words: list[WordTiming] = []
    reached_s = 0.0
    truncated, languages, tokens = False, list[Hypothesis](), list[int]()
    stats: list[DecodingStats | None] = []
    for batch in _in_batches(windows, batch_size):
        hypotheses = generate([samples for _, samples in batch])
        for (start_s, samples), hypothesis in zip(batch, hypotheses, strict=True):
            length_s = len(samples) / SAMPLE_RATE_HZ
            _append_window(words, _time_words(hypothesis, start_s, length_s), start_s, reached_s)
            reached_s = start_s + length_s
            tokens += hypothesis.tokens
            if report is not None:
                report(Segment(hypothesis.text, start_s, reached_s))
            truncated = truncated or hypothesis.truncated
            languages += [hypothesis] if hypothesis.language else []
            stats.append(hypothesis.stats)
    segments = tuple(Segment(one.word, one.start_s, one.end_s, words=(one,)) for one in words)
    language, language_probability = choose_language(languages)
    # Without spaces a "word" is a segment between two timestamps: adding a space would be an error.
    text = ("" if language in UNSPACED else " ").join(word.word for word in words)
    return Hypothesis(
        tuple(tokens),
        text,
        language,
        truncated,
        segments,
        stats=worst_stats(stats),
        language_probability=language_probability,
    )


def choose_language(windows: Sequence[Hypothesis]) -> tuple[str | None, float | None]:
    """Return the language of most windows, and its mean probability where it was detected."""
    counts = Counter(one.language for one in windows if one.language is not None)
    if not counts:
        return None, None
    language = counts.most_common(1)[0][0]
    chosen = [one.language_probability for one in windows if one.language == language]
    known = [one for one in chosen if one is not None]
    return language, sum(known) / len(known) if known else None


def _append_window(
    words: list[WordTiming], following: list[WordTiming], start_s: float, reached_s: float
) -> None:
    """Append the words of the next window, which overlaps `words` from `start_s` to `reached_s`."""
    # Only the tail can be in the overlap: hours of words need not be searched.
    cut = len(words)
    while cut and words[cut - 1].end_s > 2 * start_s - reached_s:
        cut -= 1
    words[cut:] = join_windows(words[cut:], following, start_s, reached_s)


def _time_words(hypothesis: Hypothesis, start_s: float, length_s: float) -> list[WordTiming]:
    """Time the words on the clock of the audio; without segments they share the window."""
    segments = hypothesis.segments or (Segment(hypothesis.text, 0.0, length_s),)
    return [
        replace(word, start_s=start_s + word.start_s, end_s=start_s + min(word.end_s, length_s))
        for one in segments
        for word in words_of(one)
    ]


def _in_batches(windows: Iterable[PlacedWindow], batch_size: int) -> Iterator[list[PlacedWindow]]:
    batch: list[PlacedWindow] = []
    for window in windows:
        batch.append(window)
        if len(batch) == batch_size:
            yield batch
            batch = []
    if batch:
        yield batch

"""Long sound in windows that overlap, many at once: faster than one after another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from gaudi_asr_cli.core.decoding.hypotheses import join_windows, share_time
from gaudi_asr_cli.core.models.seq2seq.labels import UNSPACED
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ, Hypothesis, Segment, WordTiming

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

OVERLAP = 1 / 3
"""Share of a window that the next one hears as well: with 30 s a border has 5 s on either side."""

PlacedWindow = tuple[float, "Samples"]
"""Where a window begins, in seconds, and its samples (T,)."""


def cut_overlapping(blocks: Iterable[Samples], window_s: float) -> Iterator[PlacedWindow]:
    """Windows of a sound that comes in blocks; the last one may be shorter."""
    size = round(window_s * SAMPLE_RATE_HZ)
    step = size - round(size * OVERLAP)
    held, first = np.zeros(0, np.float32), 0
    for block in blocks:
        held = np.concatenate([held, block])
        while len(held) > size:
            yield first / SAMPLE_RATE_HZ, held[:size]
            held, first = held[step:], first + step
    yield first / SAMPLE_RATE_HZ, held


def generate_overlapping(
    windows: Iterable[PlacedWindow],
    write: Callable[[list[Samples]], tuple[Hypothesis, ...]],
    rows: int,
    window_s: float,
) -> Hypothesis:
    """The text of a sound of any length; times are those of the sound.

    Args:
        windows: From `cut_overlapping`.
        write: Writes so many windows at once.
        rows: How many.
        window_s: Length of a window.
    """
    words: list[WordTiming] = []
    reached_s = 0.0
    truncated, languages = False, list[str]()
    for placed in _in_batches(windows, rows):
        for (start_s, sound), written in zip(
            placed, write([sound for _, sound in placed]), strict=True
        ):
            length_s = len(sound) / SAMPLE_RATE_HZ
            heard = _on_clock(written, start_s, length_s)
            _join(words, heard, start_s, reached_s)
            reached_s = start_s + length_s
            truncated = truncated or written.truncated
            languages += [written.language] if written.language else []
    segments = tuple(Segment(word.word, word.start_s, word.end_s) for word in words)
    language = max(set(languages), key=languages.count) if languages else None
    # Without spaces a "word" is a stretch between two times: a space behind each would be an error.
    text = ("" if language in UNSPACED else " ").join(word.word for word in words)
    return Hypothesis((), text, language, truncated, segments)


def _join(
    words: list[WordTiming], heard: list[WordTiming], start_s: float, reached_s: float
) -> None:
    """Add what a window heard, which overlaps with the words from `start_s` to `reached_s`."""
    # Only the tail can be in the overlap: hours of words need not be looked at.
    cut = len(words)
    while cut and words[cut - 1].end_s > 2 * start_s - reached_s:
        cut -= 1
    words[cut:] = join_windows(words[cut:], heard, start_s, reached_s)


def _on_clock(written: Hypothesis, start_s: float, length_s: float) -> list[WordTiming]:
    """Words with their times in the sound; without segments they share the window."""
    segments = written.segments or (Segment(written.text, 0.0, length_s),)
    return [
        replace(word, start_s=start_s + word.start_s, end_s=start_s + min(word.end_s, length_s))
        for one in segments
        for word in share_time(one)
    ]


def _in_batches(windows: Iterable[PlacedWindow], rows: int) -> Iterator[list[PlacedWindow]]:
    batch: list[PlacedWindow] = []
    for window in windows:
        batch.append(window)
        if len(batch) == rows:
            yield batch
            batch = []
    if batch:
        yield batch

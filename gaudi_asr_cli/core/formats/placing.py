"""Words on the clock of their file: whole milliseconds, in order, apart, and inside the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from gaudi_asr_cli.core.events import UtteranceDone
from gaudi_asr_cli.core.records import WordTiming


@dataclass(frozen=True, slots=True)
class PlacedWord:
    """A word without white space in it, from `start_ms` to `end_ms` (not before) of its file.

    `is_continued` is a later piece of a word that was cut: no space belongs before it.
    """

    text: str
    start_ms: int
    end_ms: int
    confidence: float | None
    is_continued: bool = False


def split_channels(done: UtteranceDone) -> tuple[UtteranceDone, ...]:
    """Return the result of each channel where each was transcribed, else the result alone."""
    if done.transcript is None or not done.transcript.channels:
        return (done,)
    return tuple(replace(done, transcript=one) for one in done.transcript.channels)


def place_words(done: UtteranceDone) -> tuple[PlacedWord, ...]:
    """Return the words of a transcript in the order of the text.

    Players and scorers refuse what a decoder may well say: a word that reaches into the next one,
    or a few milliseconds beyond the end. A start never lies before the one in front of it, and an
    end neither behind the next start nor behind the end of the file, `done.duration_s`.
    """
    words = () if done.transcript is None else done.transcript.words
    stripped = [("".join(word.word.split()), word) for word in words]
    placed = [(text, word) for text, word in stripped if text]
    starts, ends = _place_times([word for _, word in placed], end_of_file_ms(done))
    return tuple(
        PlacedWord(text, start, end, _clamp(word.confidence))
        for (text, word), start, end in zip(placed, starts, ends, strict=True)
    )


def _clamp(confidence: float | None) -> float | None:
    return None if confidence is None else min(max(confidence, 0.0), 1.0)


def end_of_file_ms(done: UtteranceDone) -> int:
    """The last whole millisecond of the file."""
    return int(done.duration_s * 1000)


def _place_times(words: Sequence[WordTiming], last_ms: int) -> tuple[list[int], list[int]]:
    inside = [min(max(round(word.start_s * 1000), 0), last_ms) for word in words]
    starts = list(accumulate(inside, max))
    nexts = [*starts, last_ms][1:]
    ends = [
        min(max(round(word.end_s * 1000), start), following)
        for word, start, following in zip(words, starts, nexts, strict=True)
    ]
    return starts, ends

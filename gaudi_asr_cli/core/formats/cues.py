"""Words grouped into cues: what a viewer reads at a glance.

Lines, lengths and pauses follow the subtitling guidelines of BBC and Netflix: two lines of some
40 characters, one to seven seconds on the screen. East Asian letters count two, and nothing is cut
inside what a reader sees as one character.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import accumulate
from math import ceil

from gaudi_asr_cli.core.events import UtteranceDone
from gaudi_asr_cli.core.formats.placing import PlacedWord, end_of_file_ms, place_words
from gaudi_asr_cli.core.text.graphemes import columns, cut_columns

LINE_CHARACTERS = 42
"""Columns of a fixed-width font; a single character that takes more is not cut."""
LINES = 2
LONGEST_MS = 7_000
SHORTEST_MS = 1_000
"""A cue stays so long where nothing follows it: less cannot be read."""
PAUSE_MS = 600
"""A silence of this length ends a cue: what follows is another thought or speaker."""


@dataclass(frozen=True, slots=True)
class Cue:
    """Lines shown together from `start_ms` to `end_ms`."""

    start_ms: int
    end_ms: int
    lines: tuple[str, ...]


def group_cues(done: UtteranceDone) -> tuple[Cue, ...]:
    """Cues in order, none touching the next's time, all inside the file and at least 1 ms long.

    A text without word times is a single cue as long as the file, whatever its length.
    """
    words = [piece for word in place_words(done) for piece in _cut_long(word)]
    cues = [_make_cue(group) for group in _group(words)]
    if not cues and done.transcript is not None and done.transcript.text:
        cues = [Cue(0, end_of_file_ms(done), (done.transcript.text,))]
    return _settle(cues, end_of_file_ms(done))


def _cut_long(word: PlacedWord) -> Iterator[PlacedWord]:
    """Pieces that fit on a line and are soon read, each with its share of the word's time.

    In languages without spaces an utterance is one word.
    """
    length_ms = word.end_ms - word.start_ms
    width = max(columns(word.text), 1)
    pieces = max(ceil(width / LINE_CHARACTERS), ceil(length_ms / LONGEST_MS))
    texts = cut_columns(word.text, ceil(width / pieces))
    ends = [*accumulate(map(columns, texts))]
    for text, first, last in zip(texts, [0, *ends], ends, strict=False):
        yield replace(
            word,
            text=text,
            is_continued=first > 0,
            start_ms=word.start_ms + length_ms * first // max(ends[-1], 1),
            end_ms=word.start_ms + length_ms * last // max(ends[-1], 1),
        )


def _group(words: Iterable[PlacedWord]) -> Iterator[list[PlacedWord]]:
    group: list[PlacedWord] = []
    for word in words:
        if group and not _belongs(word, group):
            yield group
            group = []
        group.append(word)
    if group:
        yield group


def _belongs(word: PlacedWord, group: list[PlacedWord]) -> bool:
    """Whether the word fits into the cue of the words before it."""
    return (
        word.start_ms - group[-1].end_ms <= PAUSE_MS
        and word.end_ms - group[0].start_ms <= LONGEST_MS
        and len(_fill_lines([*group, word])) <= LINES
    )


def _fill_lines(words: Iterable[PlacedWord]) -> list[str]:
    """Words on as few lines as they need."""
    lines: list[str] = []
    for word in words:
        if lines and columns(lines[-1] + _spaced(word)) <= LINE_CHARACTERS:
            lines[-1] += _spaced(word)
        else:
            lines.append(word.text)
    return lines


def _spaced(word: PlacedWord) -> str:
    return word.text if word.is_continued else f" {word.text}"


def _join(words: Iterable[PlacedWord]) -> str:
    return "".join(map(_spaced, words)).removeprefix(" ")


def _make_cue(group: list[PlacedWord]) -> Cue:
    start_ms = group[0].start_ms
    end_ms = min(group[-1].end_ms, start_ms + LONGEST_MS)
    return Cue(start_ms, end_ms, _balance(group))


def _balance(group: list[PlacedWord]) -> tuple[str, ...]:
    """One line, or two of nearly the same length: the eye travels least."""
    whole = _join(group)
    if columns(whole) <= LINE_CHARACTERS:
        return (whole,)
    splits = [(_join(group[:cut]), _join(group[cut:])) for cut in range(1, len(group))]
    return min(splits, key=lambda lines: max(map(columns, lines)))


def _settle(cues: list[Cue], last_ms: int) -> tuple[Cue, ...]:
    """Cues apart and inside the file: each lasts a moment, and longer where nothing follows."""
    rising = accumulate((cue.start_ms for cue in cues), lambda before, own: max(before + 1, own))
    settled: list[Cue] = []
    following_ms = last_ms
    # From the last to the first, so that words at the very end still get a duration.
    for cue, earliest_ms in reversed(list(zip(cues, rising, strict=True))):
        start_ms = max(0, min(earliest_ms, following_ms - 1))
        end_ms = min(max(cue.end_ms, start_ms + SHORTEST_MS), following_ms)
        settled.append(replace(cue, start_ms=start_ms, end_ms=end_ms))
        following_ms = start_ms
    return tuple(reversed(settled))

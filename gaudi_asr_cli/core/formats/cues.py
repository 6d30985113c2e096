"""Words grouped into cues: what a viewer reads at a glance.

Lines, lengths and pauses follow the subtitling guidelines of BBC and Netflix: two lines of some
40 characters, one to seven seconds on the screen. East Asian letters count two, and nothing is cut
inside what a reader sees as one character.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
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
class CueStyle:
    """How subtitles are laid out: columns of a line, lines of a cue, the spoken word underlined."""

    line_characters: int = LINE_CHARACTERS
    lines: int = LINES
    highlights: bool = False


DEFAULT_STYLE = CueStyle()


@dataclass(frozen=True, slots=True)
class Cue:
    """Lines shown together from `start_ms` to `end_ms`.

    `words` are those of each line, where they are timed; `channel` is the one that they are spoken
    in, where each channel was transcribed.
    """

    start_ms: int
    end_ms: int
    lines: tuple[str, ...]
    words: tuple[tuple[PlacedWord, ...], ...] = ()
    channel: int | None = None


def group_cues(done: UtteranceDone, style: CueStyle = DEFAULT_STYLE) -> tuple[Cue, ...]:
    """Cues in order, none touching the next's time, all inside the file and at least 1 ms long.

    A text without word times is a single cue as long as the file, whatever its length. Cues of
    several channels are ordered by their starts, and may overlap those of another channel.
    """
    if done.transcript is None or not done.transcript.channels:
        return _group_one(done, style)
    cues = [
        replace(cue, channel=number)
        for number, one in enumerate(done.transcript.channels)
        for cue in _group_one(replace(done, transcript=one), style)
    ]
    return tuple(sorted(cues, key=lambda cue: (cue.start_ms, cue.channel)))


def _group_one(done: UtteranceDone, style: CueStyle) -> tuple[Cue, ...]:
    words = [piece for word in place_words(done) for piece in _cut_long(word, style)]
    cues = [_make_cue(group, style) for group in _group(words, style)]
    if not cues and done.transcript is not None and done.transcript.text:
        cues = [Cue(0, end_of_file_ms(done), (done.transcript.text,))]
    return _settle(cues, end_of_file_ms(done))


def _cut_long(word: PlacedWord, style: CueStyle) -> Iterator[PlacedWord]:
    """Pieces that fit on a line and are soon read, each with its share of the word's time.

    In languages without spaces an utterance is one word.
    """
    length_ms = word.end_ms - word.start_ms
    width = max(columns(word.text), 1)
    pieces = max(ceil(width / style.line_characters), ceil(length_ms / LONGEST_MS))
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


def _group(words: Iterable[PlacedWord], style: CueStyle) -> Iterator[list[PlacedWord]]:
    group: list[PlacedWord] = []
    for word in words:
        if group and not _belongs(word, group, style):
            yield group
            group = []
        group.append(word)
    if group:
        yield group


def _belongs(word: PlacedWord, group: list[PlacedWord], style: CueStyle) -> bool:
    """Whether the word fits into the cue of the words before it."""
    return (
        word.start_ms - group[-1].end_ms <= PAUSE_MS
        and word.end_ms - group[0].start_ms <= LONGEST_MS
        and len(_fill_lines([*group, word], style)) <= style.lines
    )


def _fill_lines(words: Iterable[PlacedWord], style: CueStyle) -> list[list[PlacedWord]]:
    """Words on as few lines as they need."""
    lines: list[list[PlacedWord]] = []
    width = 0
    for word in words:
        added = columns(_spaced(word))
        if lines and width + added <= style.line_characters:
            lines[-1].append(word)
            width += added
        else:
            lines.append([word])
            width = columns(word.text)
    return lines


def _spaced(word: PlacedWord) -> str:
    return word.text if word.is_continued else f" {word.text}"


def _join(words: Iterable[PlacedWord]) -> str:
    return "".join(map(_spaced, words)).removeprefix(" ")


def _make_cue(group: list[PlacedWord], style: CueStyle) -> Cue:
    start_ms = group[0].start_ms
    end_ms = min(group[-1].end_ms, start_ms + LONGEST_MS)
    lines = _balance(group, style)
    return Cue(start_ms, end_ms, tuple(map(_join, lines)), tuple(map(tuple, lines)))


def _balance(group: list[PlacedWord], style: CueStyle) -> Sequence[list[PlacedWord]]:
    """Lines as few as possible; two are of nearly the same length: the eye travels least."""
    lines = _fill_lines(group, style)
    if len(lines) != 2:
        return lines
    splits = [(group[:cut], group[cut:]) for cut in range(1, len(group))]
    return min(splits, key=lambda halves: max(columns(_join(half)) for half in halves))


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

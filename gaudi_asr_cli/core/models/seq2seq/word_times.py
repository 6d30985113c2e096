"""Words of a segment and their times, from the times of its tokens, as in openai-whisper."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from statistics import fmean, median

from gaudi_asr_cli.core.records import Segment, TokenTimes, WordTiming

BEFORE = frozenset("\"'“¿([{-")
AFTER = frozenset("\"'.。,，!！?？:：”)]}、")  # noqa: RUF001
"""Punctuation before and after a word, whose time is not that of the word."""
ENDS = frozenset(".。!！?？")  # noqa: RUF001
LONGEST_MEDIAN_S = 0.7
SLACK_S = 0.5
"""A word may exceed the timestamps of its segment by this."""
NOT_DECODED = "\ufffd"

DecodeTokens = Callable[[Sequence[int]], str]
"""Returns the text of token ids, with the space before it."""


@dataclass(frozen=True, slots=True)
class TextPiece:
    """A part of a text: the characters of tokens `first` to `end`."""

    text: str
    first: int
    end: int


def split_tokens(tokens: Sequence[int], decode: DecodeTokens) -> Iterator[TextPiece]:
    """Yield the text of each token, or of the few tokens that together are a character."""
    first = 0
    for end in range(1, len(tokens) + 1):
        text = decode(tokens[first:end])
        if NOT_DECODED not in text or end == len(tokens):
            yield TextPiece(text, first, end)
            first = end


def group_words(pieces: Sequence[TextPiece]) -> list[list[TextPiece]]:
    """Return the pieces of each word: what is between white space."""
    words: list[list[TextPiece]] = []
    is_open = False
    for piece in pieces:
        for part in re.findall(r"\s+|\S+", piece.text):
            if part.isspace():
                is_open = False
                continue
            if not is_open:
                words.append([])
            words[-1].append(replace(piece, text=part))
            is_open = True
    return words


def time_words(
    segments: Sequence[Segment],
    tokens: Sequence[Sequence[int]],
    times: TokenTimes,
    decode: DecodeTokens,
) -> tuple[Segment, ...]:
    """Return the segments of a window with their words.

    Args:
        segments: Segments in order.
        tokens: The text tokens of each.
        times: Times of all these tokens.
        decode: Decodes tokens.
    """
    firsts = [0, *accumulate(map(len, tokens))]
    spoken = [
        _place_pieces(split_tokens(own, decode), first, times)
        for own, first in zip(tokens, firsts, strict=False)
    ]
    lengths = [word.end_s - word.start_s for words in spoken for word in words]
    usual_s = min(median([one for one in lengths if one > 0] or [0.0]), LONGEST_MEDIAN_S)
    timed, reached_s = [], 0.0
    for segment, words in zip(segments, spoken, strict=True):
        if [word.word for word in words] != segment.text.split():
            timed.append(segment)
            continue
        placed = _shorten(words, usual_s, reached_s)
        placed = _keep_inside(placed, segment, usual_s)
        reached_s = placed[-1].end_s if placed else reached_s
        rounded = (
            replace(one, start_s=round(one.start_s, 3), end_s=round(one.end_s, 3)) for one in placed
        )
        timed.append(replace(segment, words=tuple(rounded)))
    return tuple(timed)


def _place_pieces(pieces: Iterator[TextPiece], first: int, times: TokenTimes) -> list[WordTiming]:
    """Return the words of the pieces, whose tokens begin with token `first` of the times."""
    words = []
    for parts in group_words(list(pieces)):
        core = _without_punctuation(parts)
        start, end = first + core[0].first, first + core[-1].end
        words.append(
            WordTiming(
                word="".join(part.text for part in parts),
                start_s=times.starts_s[start],
                end_s=times.starts_s[end],
                confidence=fmean(times.probabilities[start:end]),
            )
        )
    return words


def _without_punctuation(parts: list[TextPiece]) -> list[TextPiece]:
    start, end = 0, len(parts)
    while end > 1 and AFTER.issuperset(parts[end - 1].text):
        end -= 1
    while start < end - 1 and BEFORE.issuperset(parts[start].text):
        start += 1
    return parts[start:end]


def _shorten(words: list[WordTiming], usual_s: float, reached_s: float) -> list[WordTiming]:
    """Shorten words that got a pause with their sound: after a sentence, and after a pause.

    Args:
        words: Words of a segment.
        usual_s: Median length of a word.
        reached_s: End of the segment before.
    """
    longest_s = 2 * usual_s
    placed = list(words)
    for index, word in enumerate(words):
        follows_end = index > 0 and words[index - 1].word[-1] in ENDS
        if follows_end and word.end_s - word.start_s > longest_s:
            placed[index] = replace(word, start_s=word.end_s - longest_s)
    if not placed or placed[0].end_s - reached_s <= 2 * longest_s:
        return placed
    first = placed[0]
    pair_s = placed[1].end_s - first.start_s if len(placed) > 1 else 0.0
    if first.end_s - first.start_s > longest_s or pair_s > 2 * longest_s:
        if len(placed) > 1 and placed[1].end_s - placed[1].start_s > longest_s:
            border_s = placed[1].end_s - longest_s
            first = replace(first, end_s=border_s)
            placed[1] = replace(placed[1], start_s=border_s)
        placed[0] = replace(first, start_s=max(first.start_s, first.end_s - longest_s))
    return placed


def _keep_inside(words: list[WordTiming], segment: Segment, usual_s: float) -> list[WordTiming]:
    """Cut the first and the last word at the timestamps of their segment, if they exceed them."""
    placed = list(words)
    if not placed:
        return placed
    first = placed[0]
    if first.start_s + SLACK_S < segment.start_s < first.end_s:
        start_s = min(first.end_s - usual_s, segment.start_s)
        placed[0] = replace(first, start_s=max(first.start_s, start_s))
    last = placed[-1]
    if last.start_s < segment.end_s < last.end_s - SLACK_S:
        end_s = max(last.start_s + usual_s, segment.end_s)
        placed[-1] = replace(last, end_s=min(last.end_s, end_s))
    return placed

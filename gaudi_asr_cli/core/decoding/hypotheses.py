"""Transcripts from the hypotheses of encoder-decoder models, with word times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

from gaudi_asr_cli.core.records import (
    Generated,
    Hypothesis,
    Segment,
    Transcript,
    Utterance,
    WordTiming,
    worst_stats,
)


@dataclass(frozen=True, slots=True)
class HypothesisDecoder:
    """Converts generated hypotheses to transcripts; the search was done by the model.

    The words of a segment without word times share its time in proportion to their letters, and
    have no confidence.
    """

    def decode(self, output: Generated, index: int, utterance: Utterance) -> Transcript:
        """Return text, language and, if there are timestamps, words on the file's own clock."""
        return self.assemble([self.condense(output, index)], utterance)

    def condense(self, output: Generated, index: int) -> Hypothesis:
        """Return the whole hypothesis: text is small."""
        return output.rows[index]

    def assemble(self, parts: Sequence[Hypothesis], utterance: Utterance) -> Transcript:
        """Concatenate hypotheses whose times are on the clock of the utterance."""
        from_s = utterance.audio.start_s
        words = in_order(word for part in parts for one in part.segments for word in words_of(one))
        languages = [part.language for part in parts if part.language is not None]
        return Transcript(
            utterance_id=utterance.id,
            text=" ".join(part.text for part in parts if part.text),
            words=tuple(
                replace(word, start_s=word.start_s + from_s, end_s=word.end_s + from_s)
                for word in words
            ),
            language=languages[0] if languages else None,
            truncated=any(part.truncated for part in parts),
            tokens=sum(len(part.tokens) for part in parts),
            stats=worst_stats(part.stats for part in parts),
            language_probability=parts[0].language_probability,
            segments=tuple(one.shifted(from_s) for part in parts for one in part.segments),
        )


def words_of(segment: Segment) -> Sequence[WordTiming]:
    """Return the words of a segment with their times, estimated where there are none."""
    return segment.words or tuple(share_time(segment))


def in_order(words: Iterable[WordTiming]) -> Iterator[WordTiming]:
    """Yield words so that none starts before the one before it ends; that one is cut first."""
    before: WordTiming | None = None
    for word in words:
        if before is not None:
            start_s = max(word.start_s, before.start_s)
            word = replace(word, start_s=start_s, end_s=max(word.end_s, start_s))
            yield replace(before, end_s=min(before.end_s, start_s))
        before = word
    if before is not None:
        yield before


def share_time(segment: Segment) -> Iterator[WordTiming]:
    """Divide the time of a segment among its words in proportion to their letters."""
    words = segment.text.split()
    length_s = segment.end_s - segment.start_s
    letters = max(sum(map(len, words)), 1)
    borders = accumulate((len(word) for word in words), initial=0)
    for word, (before, after) in zip(words, pairwise(borders), strict=True):
        yield WordTiming(
            word=word,
            start_s=round(segment.start_s + length_s * before / letters, 3),
            end_s=round(segment.start_s + length_s * after / letters, 3),
            confidence=None,
        )


def join_windows(
    left: Sequence[WordTiming], right: Sequence[WordTiming], from_s: float, to_s: float
) -> list[WordTiming]:
    """Merge the words of two windows that overlap from `from_s` to `to_s`.

    If both windows have words in common, they are joined in the middle of the longest such run;
    otherwise each window keeps its words on its side of the middle of the overlap.
    """
    if not left or not right:
        return [*left, *right]
    slack_s = (to_s - from_s) / 2
    first = next((i for i, one in enumerate(left) if one.end_s > from_s - slack_s), len(left))
    last = next((i for i, one in enumerate(right) if one.start_s > to_s + slack_s), len(right))
    left_at, right_at, length = _longest_run(
        [_normalise(one) for one in left[first:]], [_normalise(one) for one in right[:last]]
    )
    if length:
        half = length // 2
        return [*left[: first + left_at + half], *right[right_at + half :]]
    middle_s = (from_s + to_s) / 2
    return [
        *(one for one in left if one.start_s < middle_s),
        *(one for one in right if one.start_s >= middle_s),
    ]


def _longest_run(left: Sequence[str], right: Sequence[str]) -> tuple[int, int, int]:
    from difflib import SequenceMatcher

    match = SequenceMatcher(None, left, right, autojunk=False).find_longest_match()
    return match.a, match.b, match.size


def _normalise(word: WordTiming) -> str:
    """Return the word without case and punctuation, which depend on the text before it."""
    return "".join(letter for letter in word.word.lower() if letter.isalnum()) or word.word

"""What a decoder network wrote as a transcript: words share the time of their segment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

from gaudi_asr_cli.core.records import (
    Generated,
    Hypothesis,
    Segment,
    Transcript,
    Utterance,
    WordTiming,
)


@dataclass(frozen=True, slots=True)
class HypothesisDecoder:
    """Passes text on; there is nothing to search.

    A decoder network tells when a segment begins and ends, not when a word does: the words of a
    segment share its time by their letters. Nor does it say how sure it is of a word.
    """

    def decode(self, output: Generated, index: int, utterance: Utterance) -> Transcript:
        """Text, language and, where the network wrote times, words on the file's own clock."""
        return self.spell([self.condense(output, index)], utterance)

    def condense(self, output: Generated, index: int) -> Hypothesis:
        """All of it: text is small."""
        return output.rows[index]

    def spell(self, parts: Sequence[Hypothesis], utterance: Utterance) -> Transcript:
        """The transcript of what was written piece by piece, each on the clock of the utterance."""
        from_s = utterance.audio.start_s
        words = [word for part in parts for one in part.segments for word in share_time(one)]
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
        )


def share_time(segment: Segment) -> Iterator[WordTiming]:
    """The words of a segment, each with its share of the time by the letters it has."""
    words = segment.text.split()
    lasted_s = segment.end_s - segment.start_s
    letters = max(sum(map(len, words)), 1)
    borders = accumulate((len(word) for word in words), initial=0)
    for word, (before, behind) in zip(words, pairwise(borders), strict=True):
        yield WordTiming(
            word=word,
            start_s=round(segment.start_s + lasted_s * before / letters, 3),
            end_s=round(segment.start_s + lasted_s * behind / letters, 3),
            confidence=None,
        )


def join_windows(
    left: Sequence[WordTiming], right: Sequence[WordTiming], from_s: float, to_s: float
) -> list[WordTiming]:
    """The words of two windows that overlap from `from_s` to `to_s`, those of the overlap once.

    Where both heard the same words, they are joined in the middle of the longest such run; else
    each window keeps what it heard on its side of the middle.
    """
    if not left or not right:
        return [*left, *right]
    slack_s = (to_s - from_s) / 2
    first = next((i for i, one in enumerate(left) if one.end_s > from_s - slack_s), len(left))
    last = next((i for i, one in enumerate(right) if one.start_s > to_s + slack_s), len(right))
    at, by, length = _longest_run(
        [_spell(one) for one in left[first:]], [_spell(one) for one in right[:last]]
    )
    if length:
        half = length // 2
        return [*left[: first + at + half], *right[by + half :]]
    middle_s = (from_s + to_s) / 2
    return [
        *(one for one in left if one.start_s < middle_s),
        *(one for one in right if one.start_s >= middle_s),
    ]


def _longest_run(left: Sequence[str], right: Sequence[str]) -> tuple[int, int, int]:
    from difflib import SequenceMatcher

    match = SequenceMatcher(None, left, right, autojunk=False).find_longest_match()
    return match.a, match.b, match.size


def _spell(word: WordTiming) -> str:
    """What two windows have to agree on: capitals and commas depend on what stood before."""
    return "".join(letter for letter in word.word.lower() if letter.isalnum()) or word.word

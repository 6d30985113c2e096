"""Segments of speech between pauses, from the times of words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gaudi_asr_cli.core.records import Segment, Transcript, WordTiming

PAUSE_S = 0.6
"""A silence of this length ends a segment, as it ends a subtitle."""


def segments_of(transcript: Transcript) -> tuple[Segment, ...]:
    """Return the segments that the model timed, or else its words grouped at pauses.

    Words that were timed one by one count as such, not as segments.
    """
    if any(len(segment.text.split()) > 1 for segment in transcript.segments):
        return transcript.segments
    return tuple(map(_join, _group(transcript.words)))


def _group(words: Iterable[WordTiming]) -> Iterator[list[WordTiming]]:
    group: list[WordTiming] = []
    for word in words:
        if group and word.start_s - group[-1].end_s >= PAUSE_S:
            yield group
            group = []
        group.append(word)
    if group:
        yield group


def _join(words: list[WordTiming]) -> Segment:
    return Segment(" ".join(word.word for word in words), words[0].start_s, words[-1].end_s)

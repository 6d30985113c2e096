"""A hypothesis aligned with its reference, as segments for a page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from gaudi_asr_cli.core.evaluation.counts import align
from gaudi_asr_cli.core.text.scripts import find_unspaced

MAX_SEGMENTS = 120
"""Segments of one utterance on a page: an hour of speech has thousands of words."""
MAX_CHARACTERS = 4000
"""Characters of one utterance on a page."""
_CONTEXT_WORDS = 8

AlignedKind = Literal["equal", "substitution", "deletion", "insertion", "more"]


@dataclass(frozen=True, slots=True)
class AlignedSegment:
    """Words of the reference, and those of the hypothesis in their place."""

    kind: AlignedKind
    reference: str = ""
    hypothesis: str = ""


def align_for_page(reference: str, hypothesis: str) -> tuple[AlignedSegment, ...]:
    """Return the segments of a minimal alignment; long correct parts are cut to their ends."""
    # Where words are not written, an utterance is one word, which shows nothing.
    unspaced = find_unspaced([reference]) is not None
    units, space = (list, "") if unspaced else (str.split, " ")
    segments = list(_segments(units(reference), units(hypothesis), space))
    shown = _fitting(segments)
    left = sum(one.kind != "equal" for one in segments[shown:])
    if shown == len(segments):
        return tuple(segments)
    return (*segments[:shown], AlignedSegment("more", f"... and {left:,} more errors"))


def _fitting(segments: Sequence[AlignedSegment]) -> int:
    """Return how many segments fit on the page."""
    characters = 0
    for number, one in enumerate(segments):
        characters += len(one.reference) + len(one.hypothesis)
        if number == MAX_SEGMENTS or characters > MAX_CHARACTERS:
            return number
    return len(segments)


def _segments(
    reference: Sequence[str], hypothesis: Sequence[str], space: str
) -> Iterator[AlignedSegment]:
    for chunk in align(reference, hypothesis).alignments[0]:
        expected = reference[chunk.ref_start_idx : chunk.ref_end_idx]
        recognised = hypothesis[chunk.hyp_start_idx : chunk.hyp_end_idx]
        if chunk.type == "equal":
            yield AlignedSegment("equal", _shorten(expected, space))
        elif chunk.type == "delete":
            yield AlignedSegment("deletion", _shorten(expected, space))
        elif chunk.type == "insert":
            yield AlignedSegment("insertion", "", _shorten(recognised, space))
        else:
            for pair in zip(expected, recognised, strict=True):
                yield AlignedSegment("substitution", *pair)


def _shorten(words: Sequence[str], space: str) -> str:
    if len(words) <= 3 * _CONTEXT_WORDS:
        return space.join(words)
    left_out = f" [{len(words) - 2 * _CONTEXT_WORDS:,} more] ".strip(space)
    return space.join([*words[:_CONTEXT_WORDS], left_out, *words[-_CONTEXT_WORDS:]])

"""What CTC can align: every label needs a frame, and a repeated letter a blank frame before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Unalignable:
    """An utterance whose labels do not fit into its frames; `index` is its place in the data."""

    index: int
    frames: int
    needs: int


@dataclass(frozen=True, slots=True)
class Alignable:
    """Indices of what CTC can align, and those it cannot; each index is in exactly one of them."""

    kept: tuple[int, ...]
    refused: tuple[Unalignable, ...]


def alignment_needs(labels: Sequence[int]) -> int:
    """The fewest frames in which CTC can say `labels` (L,): L plus the repeated neighbours.

    Source: Graves et al. 2006, "Connectionist Temporal Classification", section 3.1: equal
    neighbours collapse into one label unless a blank stands between them.
    """
    return len(labels) + sum(one == next_one for one, next_one in pairwise(labels))


def refuse_unalignable(labels: Sequence[Sequence[int]], frames: Sequence[int]) -> Alignable:
    """Part what CTC can align from what has an infinite loss whatever the network learns.

    Nothing is shortened or dropped here: the caller trains on `kept` and lists `refused`. Empty
    labels can be aligned (with blanks alone), unless there is no frame at all.

    Args:
        labels: Token ids of each utterance.
        frames: Frames that the network makes of each utterance, in the same order.
    """
    kept: list[int] = []
    refused: list[Unalignable] = []
    for index, (tokens, available) in enumerate(zip(labels, frames, strict=True)):
        needs = max(1, alignment_needs(tokens))
        if needs <= available:
            kept.append(index)
        else:
            refused.append(Unalignable(index, available, needs))
    return Alignable(tuple(kept), tuple(refused))

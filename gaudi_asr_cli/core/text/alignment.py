"""Check whether CTC can align labels to frames: one per label, and a blank between equal ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class AlignmentShortfall:
    """Labels that need more frames (`needed`) than their utterance has (`frames`)."""

    frames: int
    needed: int

    def __str__(self) -> str:
        return f"{self.frames} frames, {self.needed} needed"


def minimum_frames(labels: Sequence[int]) -> int:
    """Return the minimum frames for a CTC alignment of `labels` (L,): L plus equal neighbours.

    Source: Graves et al. 2006, "Connectionist Temporal Classification", section 3.1: equal
    neighbours collapse into one label unless a blank separates them.
    """
    return len(labels) + sum(label == following for label, following in pairwise(labels))


def alignment_shortfall(labels: Sequence[int], frames: int) -> AlignmentShortfall | None:
    """Return the shortfall if CTC cannot align `labels` to `frames` frames; None if it can.

    Without an alignment the loss is infinite for any model. Empty labels align with blanks alone,
    unless there is no frame at all.
    """
    needed = max(1, minimum_frames(labels))
    return AlignmentShortfall(frames, needed) if frames < needed else None

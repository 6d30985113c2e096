"""Whether CTC can align labels to frames: a frame per label, and a blank between equal labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class AlignmentShortfall:
    """Labels that do not fit into the `frames` of their utterance, because they need `needed`."""

    frames: int
    needed: int

    def __str__(self) -> str:
        return f"{self.frames} frames, {self.needed} needed"


def minimum_frames(labels: Sequence[int]) -> int:
    """Return the fewest frames to which CTC can align `labels` (L,): L plus the equal neighbours.

    Source: Graves et al. 2006, "Connectionist Temporal Classification", section 3.1: equal
    neighbours collapse into one label unless a blank stands between them.
    """
    return len(labels) + sum(one == next_one for one, next_one in pairwise(labels))


def alignment_shortfall(labels: Sequence[int], frames: int) -> AlignmentShortfall | None:
    """Return by how much CTC cannot align `labels` to so many frames; None where it can.

    Without an alignment the loss is infinite, whatever the network learns. Empty labels align with
    blanks alone, unless there is no frame at all.
    """
    needed = max(1, minimum_frames(labels))
    return AlignmentShortfall(frames, needed) if frames < needed else None

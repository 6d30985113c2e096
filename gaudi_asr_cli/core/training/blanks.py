"""Telling a model that still prints only blanks from one that never will.

A CTC network first learns that blank is the commonest answer; letters come after that, all at
once. The loss falls to a plateau (about the entropy of the letters) while every frame says blank.
"""

from __future__ import annotations

from dataclasses import dataclass

ALL_BLANK = 0.995
"""From this share of blank frames on, nothing is printed."""

PATIENCE_SHARE = 0.25
"""Leaving the plateau takes until about here at the latest, as a share of all steps ..."""

PATIENCE_STEPS = 400
"""... but a fresh head needs about this many, however long the run."""

STILL_FALLING = 0.97
"""A loss under this multiple of what it was half the time ago is still falling."""


@dataclass(frozen=True, slots=True)
class BlankVerdict:
    """What to tell the user; `hopeless` when waiting longer will not help."""

    message: str
    remedy: str
    hopeless: bool


class BlankWatch:
    """Follows loss and blank share from log to log; says each of its two sentences once."""

    def __init__(self, total_steps: int, warmup_steps: int) -> None:
        self._limit = warmup_steps + max(PATIENCE_STEPS, int(PATIENCE_SHARE * total_steps))
        self._losses: list[tuple[int, float]] = []
        self._said: set[bool] = set()

    def look(self, step: int, loss: float, blank_share: float) -> BlankVerdict | None:
        """A sentence if one is due after this log, else None."""
        self._losses.append((step, loss))
        if blank_share < ALL_BLANK:
            return None
        hopeless = step >= self._limit and not self._falling(step)
        if hopeless in self._said or (not hopeless and len(self._losses) < 2):
            return None
        self._said.add(hopeless)
        if hopeless:
            return BlankVerdict(
                f"At step {step} the model still prints only blanks and its loss has stopped "
                f"falling ({loss:.2f}): it will not start by itself.",
                "Stop it; check the transcripts with `gaudi-asr check`, raise the learning rate "
                "two- to fourfold, take smaller batches, or freeze less.",
                hopeless=True,
            )
        return BlankVerdict(
            f"The model prints only blanks so far. That is normal until about step {self._limit}.",
            "",
            hopeless=False,
        )

    def _falling(self, step: int) -> bool:
        earlier = [loss for at, loss in self._losses if at <= step // 2]
        return bool(earlier) and self._losses[-1][1] < STILL_FALLING * earlier[-1]

"""Detection of CTC models that emit only blanks and will not recover.

A CTC network first learns that the blank is the most frequent token; letters follow later, all at
once. Until then the loss falls to a plateau, about the entropy of the letters, while the blank is
the most likely token of every frame.
"""

from __future__ import annotations

from dataclasses import dataclass

ALL_BLANK = 0.995
"""Share of blank frames from which on the hypotheses are empty."""

PATIENCE_SHARE = 0.25
"""The plateau ends after at most about this share of all steps ..."""

PATIENCE_STEPS = 400
"""... but a new head needs about this many steps, however long the run."""

STILL_FALLING = 0.97
"""A loss below this multiple of the loss at half the steps is still falling."""


@dataclass(frozen=True, slots=True)
class BlankVerdict:
    """A message for the user; `hopeless` when further training will not help."""

    message: str
    remedy: str
    hopeless: bool


class BlankWatch:
    """Follows loss and blank share from log to log; returns each of its two messages once."""

    def __init__(self, total_steps: int, warmup_steps: int) -> None:
        self._limit = warmup_steps + max(PATIENCE_STEPS, int(PATIENCE_SHARE * total_steps))
        self._losses: list[tuple[int, float]] = []
        self._reported: set[bool] = set()

    def look(self, step: int, loss: float, blank_share: float) -> BlankVerdict | None:
        """Return the message that is due after this log, or None."""
        self._losses.append((step, loss))
        if blank_share < ALL_BLANK:
            return None
        hopeless = step >= self._limit and not self._falling(step)
        if hopeless in self._reported or (not hopeless and len(self._losses) < 2):
            return None
        self._reported.add(hopeless)
        if hopeless:
            return BlankVerdict(
                f"At step {step} the model still emits only blanks and its loss has stopped "
                f"falling ({loss:.2f}): more steps will not change that.",
                "Stop the run; check the transcripts with `gaudi-asr check`, raise the learning "
                "rate two- to fourfold, use smaller batches, or freeze less.",
                hopeless=True,
            )
        return BlankVerdict(
            f"The model emits only blanks so far. That is normal until about step {self._limit}.",
            "",
            hopeless=False,
        )

    def _falling(self, step: int) -> bool:
        earlier = [loss for logged, loss in self._losses if logged <= step // 2]
        return bool(earlier) and self._losses[-1][1] < STILL_FALLING * earlier[-1]

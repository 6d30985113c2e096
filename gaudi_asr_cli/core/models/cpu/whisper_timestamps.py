"""Whisper's rules for timestamps, as in transformers' `WhisperTimeStampLogitsProcessor`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class TimestampRules:
    """Timestamps come in pairs, never decrease, and are chosen if they are likely together.

    Args:
        first: Id of the timestamp 0.00 s; all larger ids are timestamps.
        end: Id of the end; smaller ones are text.
        latest_start: Largest first timestamp, in steps of 0.02 s; None if any is allowed.
        prompt_length: Number of tokens before the generated ones.
    """

    first: int
    end: int
    latest_start: int | None
    prompt_length: int

    @classmethod
    def of(cls, settings: Any, prompt_length: int) -> TimestampRules:
        """Return the rules of a generation configuration."""
        ends = settings.eos_token_id or settings.bos_token_id
        return cls(
            first=settings.no_timestamps_token_id + 1,
            end=ends if isinstance(ends, int) else min(ends),
            latest_start=getattr(settings, "max_initial_timestamp_index", None),
            prompt_length=prompt_length,
        )

    def __call__(self, tokens: Tensor, logits: Tensor) -> Tensor:
        """Return logits (B, V) after tokens (B, L), -inf for tokens that are not allowed."""
        allowed = logits.clone()
        allowed[:, self.first - 1] = -torch.inf
        for row, sequence in enumerate(tokens[:, self.prompt_length :].tolist()):
            self._forbid(allowed[row], sequence)
        if tokens.shape[1] == self.prompt_length:
            allowed[:, : self.first] = -torch.inf
            if self.latest_start is not None:
                allowed[:, self.first + self.latest_start + 1 :] = -torch.inf
        # Logits compare as their probabilities do: the softmax would shift both sides alike.
        times = allowed[:, self.first :].float().logsumexp(dim=-1)
        likely = times > allowed[:, : self.first].amax(dim=-1)
        # Only these rows: filling by a mask passes over all of them.
        allowed[likely, : self.first] = -torch.inf
        return allowed

    def _forbid(self, allowed: Tensor, sequence: Sequence[int]) -> None:
        """Forbid tokens (V,) that may not follow a row, in place."""
        after_time = bool(sequence) and sequence[-1] >= self.first
        after_pair = len(sequence) < 2 or sequence[-2] >= self.first
        if after_time and after_pair:
            allowed[self.first :] = -torch.inf
        elif after_time:
            allowed[: self.end] = -torch.inf
        last = next((token for token in reversed(sequence) if token >= self.first), None)
        if last is not None:
            # The end of a segment may be the start of the next, but no segment is empty.
            earliest = last if after_time and not after_pair else last + 1
            allowed[self.first : earliest] = -torch.inf

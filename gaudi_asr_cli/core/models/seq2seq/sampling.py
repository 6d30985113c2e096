"""Choice of the next token: the most probable, or a sample at a temperature."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch


class TokenSampler:
    """Chooses tokens, and sums up the log probabilities of each row until its end token.

    Each row has its own random numbers, so that a sample does not depend on the rest of the batch.

    Args:
        rows: Number of rows B.
        temperature: 0 chooses the most probable token.
        end_ids: Ids that end a row.
        best_of: Consecutive rows that are samples of the same utterance.
        seed: Random seed.
    """

    def __init__(
        self,
        rows: int,
        temperature: float,
        end_ids: Iterable[int],
        *,
        best_of: int = 1,
        seed: int = 0,
    ) -> None:
        self.sum_logprobs = torch.zeros(rows)
        self.finished = torch.zeros(rows, dtype=torch.bool)
        self._temperature = temperature
        self.end_ids = frozenset(end_ids)
        self._end_ids = torch.tensor(sorted(self.end_ids), dtype=torch.long)
        # A sample of another number or temperature has other random numbers.
        first_seed = 1_000_003 * seed + 1_009 * round(100 * temperature)
        self._generators = [
            torch.Generator().manual_seed((first_seed + row % best_of) % 2**63)
            for row in range(rows if temperature else 0)
        ]

    @property
    def is_greedy(self) -> bool:
        """Return whether the most probable token is chosen."""
        return not self._temperature

    def choose(self, logits: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Return the chosen tokens (R,) of these rows (R,) from their logits (R, V)."""
        chosen = self._perturb(logits, rows).argmax(-1)
        self._record(logits, chosen, rows)
        return chosen

    def _perturb(self, logits: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Return scores (R, V) whose maximum is a sample (the Gumbel-max trick)."""
        if not self._temperature:
            return logits
        size = logits.shape[1]
        uniform = torch.stack(
            [torch.rand(size, generator=self._generators[row]) for row in rows.tolist()]
        )
        noise = -torch.log(-torch.log(uniform.clamp(1e-20, 1 - 1e-7)))
        return logits.float() / self._temperature + noise.to(logits.device)

    def record(self, chosen: torch.Tensor, logprobs: torch.Tensor, rows: torch.Tensor) -> None:
        """Add chosen tokens (R,) with their log probabilities (R,) to these rows (R,)."""
        self.sum_logprobs[rows] += torch.where(self.finished[rows], 0.0, logprobs)
        self.finished[rows] |= torch.isin(chosen, self._end_ids)

    def _record(self, logits: torch.Tensor, chosen: torch.Tensor, rows: torch.Tensor) -> None:
        logits = logits.float()
        logprobs = logits.gather(1, chosen[:, None])[:, 0] - logits.logsumexp(-1)
        self.record(chosen, logprobs, rows)


class SamplingProcessor(TokenSampler):
    """The same as the last logits processor of transformers' greedy `generate`."""

    def __call__(self, input_ids: Any, scores: torch.Tensor) -> torch.Tensor:
        """Return scores (B, V) whose maximum is the chosen token."""
        if self.sum_logprobs.device != scores.device:
            self.sum_logprobs = self.sum_logprobs.to(scores.device)
            self.finished = self.finished.to(scores.device)
            self._end_ids = self._end_ids.to(scores.device)
        rows = torch.arange(len(scores), device=scores.device)
        perturbed = self._perturb(scores, torch.arange(len(scores)))
        self._record(scores, perturbed.argmax(-1), rows)
        return perturbed

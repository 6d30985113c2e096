"""The greedy choice of a token from an int8 head, exact where the largest logit may be.

The head of a Whisper is its largest matrix, and a step reads all of it. In int8 that is half of the
bytes. The error of its logits has a known size, so every text token that may be the best gets its
logit from the exact weights; special tokens and timestamps always do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from gaudi_asr_cli.core.models.cpu.int8 import (
    INT8_ZERO,
    Int8Weight,
    can_quantise,
    pack_int8,
    quantise_rows,
    saturates,
)
from gaudi_asr_cli.core.models.cpu.linear import Linear, linear_maker

if TYPE_CHECKING:
    from torch import Tensor

CANDIDATES = 16
"""Text tokens per row whose logits are computed exactly."""
MARGIN = 6.0
"""Standard deviations of the error of a logit within which a token may be the best."""
BLOCK = 128
"""Logits whose largest is found first: a search among all of them takes longer than the product."""
ROUNDING = 12**-0.5
"""Standard deviation of a rounding error, in steps."""


@dataclass(frozen=True, slots=True)
class ReducedLogits:
    """Logits of a step in which the text tokens are one column.

    Args:
        best: The most probable text token (B,).
        mass: Logarithm of the sum of the exponentials of all text logits, float32 (B,).
        logits: The logit of `best`, and those of the special tokens, float32 (B, 1 + V - E).
    """

    best: Tensor
    mass: Tensor
    logits: Tensor


@dataclass(frozen=True, slots=True)
class GreedyHead:
    """Computes `ReducedLogits`.

    Args:
        text: The weight of the text tokens, ids below `end`.
        special: The exact linear of the other ids.
        exact: The exact linear of all ids.
        weight: Its weight (V, D).
        end: The first id E that is not text.
        norm: Largest norm of a row of the weight of the text tokens.
        scale: Largest scale of a row of `text`.
    """

    text: Int8Weight
    special: Linear
    exact: Linear
    weight: Tensor
    end: int
    norm: float
    scale: float

    def __call__(self, states: Tensor, suppressed: Tensor) -> ReducedLogits:
        """Return the logits after normalised states (B, D), without the suppressed text tokens."""
        steps, scales = quantise_rows(states)
        scales = scales.float()
        logits = self.text.multiply(steps, 1.0, INT8_ZERO, None, torch.float32).mul_(scales)
        logits.index_fill_(1, suppressed, -torch.inf)
        found, ids = find_largest(logits, CANDIDATES)
        exact = self._multiply(states, ids).masked_fill_(found == -torch.inf, -torch.inf)
        best, place = exact.max(1, keepdim=True)
        # The tokens that were not found are at most as probable as the last one that was.
        unsure = ~(found[:, -1:] + MARGIN * self._spread(states, scales) < best)[:, 0]
        logits.scatter_(1, ids, exact)
        ids = ids.gather(1, place)
        if bool(unsure.any()):
            # Only these rows: the logits are rounded otherwise, and a row depends on no other.
            whole = self.exact(states[unsure])[:, : self.end].float()
            whole.index_fill_(1, suppressed, -torch.inf)
            logits[unsure] = whole
            best[unsure], ids[unsure] = whole.max(1, keepdim=True)
        # Faster than `logsumexp`.
        mass = best - torch.softmax(logits, 1).gather(1, ids).log_()
        reduced = torch.cat([best, self.special(states).float()], dim=1)
        return ReducedLogits(ids[:, 0], mass[:, 0], reduced)

    def _multiply(self, states: Tensor, ids: Tensor) -> Tensor:
        """Return the exact logits float32 (B, C) of tokens (B, C)."""
        return torch.bmm(self.weight[ids].float(), states.float()[:, :, None])[:, :, 0]

    def _spread(self, states: Tensor, scales: Tensor) -> Tensor:
        """Return the standard deviation (B, 1) of the error of the logits in int8."""
        norms = torch.linalg.vector_norm(states.float(), dim=1, keepdim=True)
        return torch.hypot(scales * self.norm, norms * self.scale) * ROUNDING


def find_largest(logits: Tensor, wanted: int) -> tuple[Tensor, Tensor]:
    """Return the `wanted` largest logits of each row (B, V), or all, and their columns."""
    count, size = logits.shape
    blocks = size // BLOCK
    if blocks <= wanted:
        return logits.topk(min(wanted, size), dim=1)
    whole = logits[:, : blocks * BLOCK].view(count, blocks, BLOCK)
    # The largest logits are in the blocks with the largest maxima, or in the rest.
    chosen = whole.amax(2).topk(wanted, dim=1).indices  # (B, C)
    rest = torch.arange(blocks * BLOCK, size).expand(count, -1)
    ids = (chosen[:, :, None] * BLOCK + torch.arange(BLOCK)).view(count, -1)
    ids = torch.cat([ids, rest], dim=1)
    found, places = logits.gather(1, ids).topk(wanted, dim=1)
    return found, ids.gather(1, places)


def pack_greedy_head(weight: Tensor, exact: Linear, end: int) -> GreedyHead | None:
    """Pack the head (V, D) of a decoder, packed as `exact` too, whose ids below `end` are text.

    Return None in float32, whose logits stay exact, where int8 is not supported, and where it
    saturates: the error of a logit has no known size then.
    """
    if weight.dtype == torch.float32 or not can_quantise() or not 0 < end < len(weight):
        return None
    if saturates():
        return None
    text = pack_int8(weight[:end])
    return GreedyHead(
        text=text,
        special=linear_maker(weight.dtype)(weight[end:], None),
        exact=exact,
        weight=weight,
        end=end,
        norm=float(torch.linalg.vector_norm(weight[:end].float(), dim=1).max()),
        scale=float(text.scales.max()),
    )

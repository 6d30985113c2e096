"""Attention in bf16 whose exponential is fused into the product of queries and keys.

oneDNN can apply a sigmoid to a product while it is in float32 registers, but no exponential. Far
below zero the two are the same: sigmoid(x) = exp(x) / (1 + exp(x)). So the scores of a head are
shifted below `LARGEST_SHIFTED` by their bound, the product of the largest norms of a query and a
key. The softmax stays the same: a column of ones next to the values gives its denominator. That is
a sixth faster than a product, a softmax and a product, and four times as exact, because scores are
not rounded to bf16 before the exponential.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from gaudi_asr_cli.core.models.cpu.linear import can_fuse

if TYPE_CHECKING:
    from torch import Tensor

LARGEST_SHIFTED = -8.0
"""Largest shifted score: exp(-8) is less than the rounding error of bf16."""
LARGEST_BOUND = 70.0
"""Bound from which shifted scores may underflow; such a head is left to the softmax."""
SMALLEST_SUM = 1e-33
"""A smaller denominator is that of scores that underflow."""
ROWS = 768
"""Largest number of query frames per tile."""
PADDED = 16
"""Columns of the values are padded to a multiple of this, the width of a register."""


def can_fuse_attention(dtype: torch.dtype) -> bool:
    """Return whether `attend_fused` works in `dtype` on this processor."""
    return dtype == torch.bfloat16 and can_fuse(dtype)


def attend_fused(qkv: Tensor, out: Tensor) -> list[int]:
    """Write the context of an utterance to `out` (H, F, S); `qkv` (F, 3 D) has a scaled query.

    Return the heads whose scores are too large; their context is wrong or not written.
    """
    heads, count, size = out.shape
    per_head = qkv.view(count, 3, heads, size)
    # (F, 2, H, S) to (2, H, F, S)
    query, key = both = per_head[:, :2].permute(1, 2, 0, 3).contiguous()
    bounds = torch.linalg.vector_norm(both, dim=-1).amax(2).prod(0).tolist()
    value = qkv.new_ones(heads, count, -(-(size + 1) // PADDED) * PADDED)
    value[:, :, :size] = per_head[:, 2].transpose(0, 1)
    rows = math.ceil(count / math.ceil(count / ROWS))
    left = []
    for head, bound in enumerate(bounds):
        if not bound <= LARGEST_BOUND:
            left.append(head)
            continue
        shift = qkv.new_full((count,), LARGEST_SHIFTED - math.ceil(bound))
        sums = []
        for start in range(0, count, rows):
            tile = slice(start, start + rows)
            weights = torch.ops.mkldnn._linear_pointwise(
                query[head, tile], key[head], shift, "sigmoid", [], ""
            )  # (r, F)
            context = weights @ value[head]
            total = context[:, size : size + 1]
            torch.div(context[:, :size], total, out=out[head, tile])
            sums.append(total)
        if not float(torch.cat(sums).min()) >= SMALLEST_SUM:
            left.append(head)
    return left

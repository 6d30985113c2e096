"""Cross-attention of a few tokens to the frames of an encoder, without keys and values.

A score is q K^T = q (x W)^T = (q W^T) x^T for frames x: a query that is multiplied by the weight of
the keys can be compared with the frames themselves, and the weight of the values can be applied to
the sum of frames instead of each frame. All layers then read one matrix, the frames, where keys and
values are two of that size in each layer: decoding a token is limited by reading them. DeepSeek-V2
(arXiv 2405.04434, section 2.1.2) does the same with the compressed keys of self-attention.

For many tokens at once it is cheaper to compute keys and values.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from gaudi_asr_cli.core.models.cpu.attention import scale_of
from gaudi_asr_cli.core.models.cpu.convolution import Norm, pack_norm
from gaudi_asr_cli.core.models.cpu.linear import Linear, LinearMaker
from gaudi_asr_cli.core.models.weights import NetworkWeights

if TYPE_CHECKING:
    from torch import Tensor

MANY_TOKENS = 64
"""Tokens of an utterance from which keys and values are computed: about the size of a head, since
keys and values cost 4 D D F operations and each token (4 H D - 4 D) F more without them."""


@dataclass(frozen=True, slots=True)
class EncodedWindow:
    """Frames (F, D) of an utterance, also packed as two linears.

    `scores` multiplies queries (R, D) by all frames to (R, F'), `context` sums the frames by
    probabilities (R, F') to (R, D). Columns from F on have no probability.
    """

    frames: Tensor
    scores: Linear
    context: Linear

    def is_finite(self) -> bool:
        """Return whether all frames are finite; half precision may overflow."""
        # A sum is not finite if a value is not, and fifty times as fast as a test of each.
        return bool(torch.isfinite(self.frames.sum()))


@dataclass(frozen=True, slots=True)
class CrossAttention:
    """Cross-attention of a decoder layer, from its norm to its residual.

    Args:
        norm: The norm before it.
        query: The linear of the queries, already scaled.
        key: The weight of the keys, by head (H, S, D). Their bias would move all scores of a query
            by the same amount, which the softmax ignores.
        value: The weight of the values, by head (H, S, D).
        out: The output projection; its bias has that of the values.
    """

    norm: Norm
    query: Linear
    key: Tensor
    value: Tensor
    out: Linear

    def __call__(
        self, hidden: Tensor, windows: Sequence[EncodedWindow], seen: list[Tensor] | None
    ) -> Tensor:
        """Return hidden (B L, D) plus its attention to the windows of the B rows.

        The scores (B H, L, F) are appended to `seen`.
        """
        heads, size, width = self.key.shape
        query = self.query(self.norm(hidden)).view(len(hidden), heads, size).transpose(0, 1)
        if len(hidden) < MANY_TOKENS * len(windows):
            # (H, B L, S) to (B L, H, D)
            queries = torch.bmm(query, self.key).transpose(0, 1).contiguous()
            summed = self._attend_frames(queries, windows, seen)  # (B L, H, D)
            context = torch.bmm(summed.transpose(0, 1), self.value.transpose(1, 2))  # (H, B L, S)
        else:
            context = self._attend_projected(query, windows, seen)
        return self.out.add(context.transpose(0, 1).reshape(-1, width), hidden)

    def _attend_frames(
        self, queries: Tensor, windows: Sequence[EncodedWindow], seen: list[Tensor] | None
    ) -> Tensor:
        """Return the sums of frames (B L, H, D) for queries (B L, H, D)."""
        heads, width = queries.shape[1:]
        rows = queries.view(-1, width)  # (B L H, D)
        size = len(rows) // len(windows)
        sums = []
        for group, window in group_windows(windows):
            scores = window.scores(rows[size * group.start : size * group.stop])  # (b L H, F)
            if seen is not None:
                by_row = scores.view(len(group), -1, heads, scores.shape[1])
                by_head = by_row[..., : len(window.frames)].transpose(1, 2)
                seen.append(by_head.flatten(0, 1))
            sums.append(window.context(torch.softmax(scores, -1)))
        return (torch.cat(sums) if len(sums) > 1 else sums[0]).view(queries.shape)

    def _attend_projected(
        self, query: Tensor, windows: Sequence[EncodedWindow], seen: list[Tensor] | None
    ) -> Tensor:
        """Return the context (H, B L, S) of queries (H, B L, S), by way of keys and values."""
        heads, _, width = self.key.shape
        size = query.shape[1] // len(windows)
        contexts = []
        for group, window in group_windows(windows):
            rows = query[:, size * group.start : size * group.stop]  # (H, b L, S)
            keys, values = (
                functional.linear(window.frames, weight.view(-1, width))
                .view(len(window.frames), heads, -1)
                .transpose(0, 1)
                for weight in (self.key, self.value)
            )  # (H, F, S)
            scores = torch.bmm(rows, keys.transpose(1, 2))  # (H, b L, F)
            if seen is not None:
                by_row = scores.view(heads, len(group), -1, scores.shape[2]).transpose(0, 1)
                seen.append(by_row.flatten(0, 1))
            contexts.append(torch.bmm(torch.softmax(scores, -1), values))
        return torch.cat(contexts, dim=1)


def group_windows(windows: Sequence[EncodedWindow]) -> Iterator[tuple[range, EncodedWindow]]:
    """Yield each window with the consecutive rows that attend to it, such as samples of a text."""
    first = 0
    for _, same in groupby(windows, key=id):
        window, *others = same
        group = range(first, first + 1 + len(others))
        yield group, window
        first = group.stop


def pack_cross_attention(
    attention: NetworkWeights,
    norm: NetworkWeights,
    heads: int,
    make: LinearMaker,
    dtype: torch.dtype,
) -> CrossAttention:
    """Pack the cross-attention of a layer from its weights and those of the norm before it."""
    scale = scale_of(attention, heads)

    def by_head(name: str) -> Tensor:
        weight = attention[f"{name}.weight"].detach()
        return weight.to(dtype).view(heads, -1, weight.shape[1]).contiguous()

    out_weight = attention["out_proj.weight"].detach()
    out_bias = attention["out_proj.bias"].detach().float()
    value_bias = attention["v_proj.bias"].detach().float()
    return CrossAttention(
        norm=pack_norm(norm, dtype),
        query=make(
            attention["q_proj.weight"].detach() * scale, attention["q_proj.bias"].detach() * scale
        ),
        key=by_head("k_proj"),
        value=by_head("v_proj"),
        out=make(out_weight, out_bias + out_weight.float() @ value_bias),
    )

"""Self-attention over concatenated utterances, each attending only to itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from gaudi_asr_cli.core.devices.amx import has_amx
from gaudi_asr_cli.core.models.cpu.fused_attention import attend_fused, can_fuse_attention
from gaudi_asr_cli.core.models.cpu.int16 import Int16Attention
from gaudi_asr_cli.core.models.cpu.linear import Linear
from gaudi_asr_cli.core.models.cpu.precision import PackedPrecision
from gaudi_asr_cli.core.models.weights import NetworkWeights

if TYPE_CHECKING:
    from torch import Tensor

SCORES = 1_600_000
"""Scores (frames x frames x heads) per tile: 3 MB in bf16, about one L2 cache."""
FUSED_FROM_FRAMES = 3_000
"""From 60 s, torch's fused attention, which stores no scores, is faster in bf16 as well."""
FUSED_FROM_FRAMES_AMX = 0
"""With AMX it is always faster, by a third."""


def choose_fused_from() -> int:
    """Return the number of frames from which bf16 attention uses torch's fused kernel."""
    return FUSED_FROM_FRAMES_AMX if has_amx() else FUSED_FROM_FRAMES


@dataclass(frozen=True, slots=True)
class RelativeBias:
    """WavLM's gated relative position bias (arXiv 2110.13900, section 3.1) of one layer.

    A score gets a bias for the distance between query and key frame, times a gate computed from
    the query frame. `table` (buckets, H) is shared by all layers; `weight` (8, S), `bias` (8,) and
    `constant` (H, 1) are the parameters of the gate.
    """

    table: Tensor
    buckets: Callable[[Tensor], Tensor]
    weight: Tensor
    bias: Tensor
    constant: Tensor

    def gate(self, frames: Tensor) -> Tensor:
        """Return the gate (H, F, 1) for the attention's input frames (F, D)."""
        heads = self.constant.shape[0]
        per_head = frames.view(frames.shape[0], heads, -1).transpose(0, 1)  # (H, F, S)
        projected = functional.linear(per_head, self.weight, self.bias)  # (H, F, 8)
        # (H, F, 2, 4) to two gates (H, F, 1)
        first, second = projected.view(heads, -1, 2, 4).sum(-1).sigmoid().chunk(2, dim=-1)
        return first * (second * self.constant[:, :, None] - 1.0) + 2.0

    def by_distance(self, frames: int) -> Tensor:
        """Return the bias (H, 2 F - 1) for each distance from query to key, in rising order."""
        distances = torch.arange(1 - frames, frames)
        return self.table[self.buckets(distances)].T.contiguous()


def spread_rows(line: Tensor, rows: slice) -> Tensor:
    """Return the bias (H, R, F) of the query frames `rows` from the bias by distance (H, 2 F - 1).

    Row f begins one distance before row f - 1. Strides cannot be negative, so rows are gathered.
    """
    frames = (line.shape[1] + 1) // 2
    queries = torch.arange(frames)[rows]
    return line[:, frames - 1 - queries[:, None] + torch.arange(frames)]


@dataclass(frozen=True, slots=True)
class Attention:
    """Multi-head self-attention: one fused QKV projection, its query already scaled.

    With `fuses_exponential`, that of bf16 scores is computed in their product where it can be. Its
    rounding is another: the texts of CTC models stay what they were without it. `integer` computes
    attention without a relative bias in integers.
    """

    qkv: Linear
    out: Linear
    heads: int
    relative: RelativeBias | None
    fused_from_frames: int = field(default_factory=choose_fused_from)
    fuses_exponential: bool = False
    integer: Int16Attention | None = None

    def __call__(self, frames: Tensor, lengths: Sequence[int]) -> Tensor:
        """Return the context (F, D) of frames (F, D), before the output projection.

        `lengths` are those of the utterances, in frames; they sum to F.
        """
        qkv = self.qkv(frames)  # (F, 3 D)
        context = torch.empty_like(frames)
        parts = (torch.split(rows, list(lengths)) for rows in (frames, qkv, context))
        for utterance, utterance_qkv, out in zip(*parts, strict=True):
            # (F, D) to (H, F, S)
            per_head = out.view(len(out), self.heads, -1).transpose(0, 1)
            self._attend(utterance, utterance_qkv, per_head)
        return context

    def _attend(self, frames: Tensor, qkv: Tensor, out: Tensor) -> None:
        """Write the context of one utterance (F, D), projected (F, 3 D), to `out` (H, F, S)."""
        count = qkv.shape[0]
        # (F, 3 D) to three times (H, F, S)
        query, key, value = qkv.view(count, 3, self.heads, -1).permute(1, 2, 0, 3).unbind(0)
        if self.relative is not None:
            self._attend_gated(self.relative, frames, (query, key, value), out)
        elif self.integer is not None:
            self.integer(qkv.view(count, 3, self.heads, -1), out)
        elif qkv.dtype == torch.float32 or count > self.fused_from_frames:
            context = functional.scaled_dot_product_attention(
                query[None], key[None], value[None], scale=1.0
            )
            out.copy_(context[0])
        elif self.fuses_exponential and can_fuse_attention(qkv.dtype):
            for head in attend_fused(qkv, out):
                one = slice(head, head + 1)
                _attend_tiled(query[one], key[one], value[one], out[one])
        else:
            _attend_tiled(query, key, value, out)

    def _attend_gated(
        self,
        relative: RelativeBias,
        frames: Tensor,
        qkv: tuple[Tensor, Tensor, Tensor],
        out: Tensor,
    ) -> None:
        query, key, value = qkv
        gate, line = relative.gate(frames), relative.by_distance(frames.shape[0])
        for heads, rows in plan_tiles(self.heads, frames.shape[0]):
            scores = torch.bmm(query[heads, rows], key[heads].transpose(1, 2))
            scores.addcmul_(gate[heads, rows], spread_rows(line[heads], rows))
            out[heads, rows] = torch.bmm(torch.softmax(scores, -1), value[heads])


def _attend_tiled(query: Tensor, key: Tensor, value: Tensor, out: Tensor) -> None:
    """Write the context of queries, keys and values (H, F, S) to `out` (H, F, S)."""
    for heads, rows in plan_tiles(*query.shape[:2]):
        scores = torch.bmm(query[heads, rows], key[heads].transpose(1, 2))  # (h, r, F)
        out[heads, rows] = torch.bmm(torch.softmax(scores, -1), value[heads])


def plan_tiles(heads: int, frames: int) -> Iterator[tuple[slice, slice]]:
    """Yield tiles of heads and query frames whose scores fit into the cache.

    A tile holds whole heads while one fits, otherwise rows of one head: small products are slow.
    """
    heads_per_tile = max(1, SCORES // (frames * frames))
    fits = heads_per_tile > 1 or frames * frames <= SCORES
    rows = frames if fits else max(64, SCORES // frames)
    for head in range(0, heads, heads_per_tile):
        for start in range(0, frames, rows):
            yield slice(head, head + heads_per_tile), slice(start, start + rows)


def pack_attention(
    weights: NetworkWeights,
    heads: int,
    precision: PackedPrecision,
    relative: RelativeBias | None = None,
) -> Attention:
    """Pack an attention from its weights; a projection without bias gets zeros."""
    # The scale is folded into the query's weight: one pass less over the scores.
    make, size = precision.linear, weights.shape("q_proj.weight")[0] // heads
    scales = (("q_proj", scale_of(weights, heads)), ("k_proj", 1.0), ("v_proj", 1.0))
    qkv = make(*concatenate(weights, dict(scales)))
    out = make(weights["out_proj.weight"].detach(), weights["out_proj.bias"].detach())
    integer = precision.attention if relative is None else None
    if integer is not None and not integer.fits(size):
        integer = None
    return Attention(qkv, out, heads, relative, integer=integer)


def scale_of(weights: NetworkWeights, heads: int) -> float:
    """Return the factor of the scores of an attention: the root of a head's width, inverted."""
    return float((weights.shape("q_proj.weight")[0] // heads) ** -0.5)


def concatenate(weights: NetworkWeights, scales: Mapping[str, float]) -> tuple[Tensor, Tensor]:
    """Concatenate the scaled weights and biases of linears with the same input."""
    weight = torch.cat(
        [weights[f"{name}.weight"].detach().float() * scale for name, scale in scales.items()]
    )
    bias = torch.cat([_bias_of(weights.below(name)) * scale for name, scale in scales.items()])
    return weight, bias


def _bias_of(linear: NetworkWeights) -> Tensor:
    bias = linear.get("bias")
    return torch.zeros(linear.shape("weight")[0]) if bias is None else bias.detach().float()


def pack_relative(
    weights: NetworkWeights, table: Tensor, longest: int, dtype: torch.dtype
) -> RelativeBias:
    """Pack the relative bias of an attention; its table (buckets, H) is in the first layer."""
    return RelativeBias(
        table=table.detach().to(dtype),
        buckets=partial(bucket_distances, buckets=table.shape[0], longest=longest),
        weight=weights["gru_rel_pos_linear.weight"].detach().to(dtype),
        bias=weights["gru_rel_pos_linear.bias"].detach().to(dtype),
        constant=weights["gru_rel_pos_const"].detach().to(dtype).view(-1, 1),
    )


def bucket_distances(distances: Tensor, *, buckets: int, longest: int) -> Tensor:
    """Return the table rows for distances: half per direction, first exact, then logarithmic.

    These are T5's buckets, as in transformers' WavLM; repeated here so that the network can be
    freed.
    """
    half = buckets // 2
    exact = half // 2
    size = distances.abs()
    logarithmic = torch.log(size.float() / exact) / math.log(longest / exact) * (half - exact)
    far = torch.where(size < exact, 0, exact + logarithmic).to(torch.long).clamp(max=half - 1)
    return (distances > 0).long() * half + torch.where(size < exact, size, far)

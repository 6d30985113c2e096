"""Self-attention over utterances that lie behind one another, each seeing only itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from gaudi_asr_cli.core.devices.amx import has_amx
from gaudi_asr_cli.core.models.cpu.linear import Linear, LinearMaker

if TYPE_CHECKING:
    from torch import Tensor

SCORES = 1_600_000
"""Scores (frames x frames x heads) that are computed together: 3 MB in bf16, about one L2 cache."""
FUSED_FROM_FRAMES = 3_000
"""From 60 s on torch's fused attention, which writes no scores, is faster in bf16 as well."""
FUSED_FROM_FRAMES_AMX = 0
"""With AMX it always is, by a third."""


def choose_fused_from() -> int:
    """Frames from which on this processor's attention in bf16 is torch's fused one."""
    return FUSED_FROM_FRAMES_AMX if has_amx() else FUSED_FROM_FRAMES


@dataclass(frozen=True, slots=True)
class RelativeBias:
    """WavLM's gated relative position bias (arXiv 2110.13900, section 3.1), one layer's part.

    A score gets a bias for the distance of its two frames, times a gate that the asking frame
    opens. `table` (buckets, H) is shared by all layers; `weight` (8, D / H), `bias` (8,) and
    `constant` (H, 1) make the gate.
    """

    table: Tensor
    buckets: Callable[[Tensor], Tensor]
    weight: Tensor
    bias: Tensor
    constant: Tensor

    def gate(self, frames: Tensor) -> Tensor:
        """The gate (H, F, 1) of frames (F, D) as they enter the attention."""
        heads = self.constant.shape[0]
        parts = frames.view(frames.shape[0], heads, -1).transpose(0, 1)
        opened = functional.linear(parts, self.weight, self.bias)
        first, second = opened.view(heads, -1, 2, 4).sum(-1).sigmoid().chunk(2, dim=-1)
        return first * (second * self.constant[:, :, None] - 1.0) + 2.0

    def by_distance(self, frames: int) -> Tensor:
        """The bias (H, 2 F - 1) for each distance from an asking to an asked frame, rising."""
        distances = torch.arange(1 - frames, frames)
        return self.table[self.buckets(distances)].T.contiguous()


def spread_rows(line: Tensor, rows: slice) -> Tensor:
    """The bias (H, R, F) of some asking frames, from that of the distances (H, 2 F - 1).

    Row f begins one distance before row f - 1. Strides cannot be negative, so rows are gathered.
    """
    frames = (line.shape[1] + 1) // 2
    asking = torch.arange(frames)[rows]
    return line[:, frames - 1 - asking[:, None] + torch.arange(frames)]


@dataclass(frozen=True, slots=True)
class Attention:
    """Query, key and value in one product (the query's scale is in its weight), and the output."""

    joined: Linear
    out: Linear
    heads: int
    relative: RelativeBias | None
    fused_from_frames: int = field(default_factory=choose_fused_from)

    def __call__(self, frames: Tensor, lengths: Sequence[int]) -> Tensor:
        """What each frame of (F, D) gathered, before the output's product: (F, D)."""
        joined = self.joined(frames)
        gathered = torch.empty_like(frames)
        parts = (torch.split(rows, list(lengths)) for rows in (frames, joined, gathered))
        for inside, three, target in zip(*parts, strict=True):
            self._attend(inside, three, target.view(len(target), self.heads, -1).transpose(0, 1))
        return gathered

    def _attend(self, frames: Tensor, joined: Tensor, target: Tensor) -> None:
        """Write what an utterance (F, D), joined (F, 3 D), gathers to `target` (H, F, D / H)."""
        count = joined.shape[0]
        query, key, value = joined.view(count, 3, self.heads, -1).permute(1, 2, 0, 3).unbind(0)
        if self.relative is not None:
            self._attend_gated(self.relative, frames, (query, key, value), target)
        elif joined.dtype == torch.float32 or count > self.fused_from_frames:
            found = functional.scaled_dot_product_attention(
                query[None], key[None], value[None], scale=1.0
            )
            target.copy_(found[0])
        else:
            for heads, rows in plan_tiles(self.heads, count):
                scores = torch.bmm(query[heads, rows], key[heads].transpose(1, 2))
                target[heads, rows] = torch.bmm(torch.softmax(scores, -1), value[heads])

    def _attend_gated(
        self,
        relative: RelativeBias,
        frames: Tensor,
        three: tuple[Tensor, Tensor, Tensor],
        target: Tensor,
    ) -> None:
        query, key, value = three
        gate, line = relative.gate(frames), relative.by_distance(frames.shape[0])
        for heads, rows in plan_tiles(self.heads, frames.shape[0]):
            scores = torch.bmm(query[heads, rows], key[heads].transpose(1, 2))
            scores.addcmul_(gate[heads, rows], spread_rows(line[heads], rows))
            target[heads, rows] = torch.bmm(torch.softmax(scores, -1), value[heads])


def plan_tiles(heads: int, frames: int) -> Iterator[tuple[slice, slice]]:
    """Slices of heads and of asking frames whose scores fit into the cache.

    Whole heads as long as one fits, then rows of one head: short products waste time.
    """
    together = max(1, SCORES // (frames * frames))
    rows = frames if together > 1 or frames * frames <= SCORES else max(64, SCORES // frames)
    for head in range(0, heads, together):
        for start in range(0, frames, rows):
            yield slice(head, head + together), slice(start, start + rows)


def pack_attention(module: Any, make: LinearMaker, relative: RelativeBias | None) -> Attention:
    """The attention of transformers' network; any family's, for all name their parts alike."""
    three = (module.q_proj, module.k_proj, module.v_proj)
    # The scale goes into the query's weight: one pass less over the scores.
    scales = (float(module.scaling), 1.0, 1.0)
    weight = torch.cat(
        [one.weight.detach().float() * s for one, s in zip(three, scales, strict=True)]
    )
    bias = torch.cat([one.bias.detach().float() * s for one, s in zip(three, scales, strict=True)])
    out = make(module.out_proj.weight.detach(), module.out_proj.bias.detach())
    return Attention(make(weight, bias), out, int(module.num_heads), relative)


def pack_relative(module: Any, first: Any, dtype: torch.dtype) -> RelativeBias | None:
    """The relative bias of an attention, with the table that lies in the `first` layer's."""
    if not hasattr(module, "gru_rel_pos_linear"):
        return None
    return RelativeBias(
        table=first.rel_attn_embed.weight.detach().to(dtype),
        buckets=partial(bucket_distances, buckets=first.num_buckets, longest=first.max_distance),
        weight=module.gru_rel_pos_linear.weight.detach().to(dtype),
        bias=module.gru_rel_pos_linear.bias.detach().to(dtype),
        constant=module.gru_rel_pos_const.detach().to(dtype).view(-1, 1),
    )


def bucket_distances(distances: Tensor, *, buckets: int, longest: int) -> Tensor:
    """Rows of the table for distances: half for each direction, exact ones, then logarithmic.

    T5's buckets, as transformers' WavLM has them; kept here so that the network can be freed.
    """
    half = buckets // 2
    exact = half // 2
    size = distances.abs()
    grown = torch.log(size.float() / exact) / math.log(longest / exact) * (half - exact)
    far = torch.where(size < exact, 0, exact + grown).to(torch.long).clamp(max=half - 1)
    return (distances > 0).long() * half + torch.where(size < exact, size, far)

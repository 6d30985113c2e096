"""What tells a frame where it stands: the positional convolutions, in blocks of fixed lengths.

oneDNN compiles a kernel for each length it meets (10 to 50 ms) and may choose another order of the
weights for it: with those of another length it falls back to a kernel that is two hundred times
slower (bf16 with AMX). So utterances are cut into blocks of three lengths, each with weights of its
own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch.nn import functional

from gaudi_asr_cli.core.devices.amx import has_amx, has_small_groups
from gaudi_asr_cli.core.models.cpu.convolution import Norm, pack_norm
from gaudi_asr_cli.core.models.cpu.linear import can_fuse, cast

if TYPE_CHECKING:
    from torch import Tensor

BLOCKS_FRAMES = (64, 128, 256)
"""Lengths of blocks, rising: the longest as often as it fits, then the shortest that holds the
rest, filled up with zeros. Each has its weights (10 MB in bf16 for wav2vec 2.0 base)."""


class SlidingProduct(Protocol):
    """A grouped convolution along time without padding."""

    def __call__(self, rows: Tensor) -> Tensor:
        """Rows (N + kernel - 1, D) to rows (N, D)."""

    def gelu(self, rows: Tensor) -> Tensor:
        """The same through a GELU."""


@dataclass(frozen=True, slots=True)
class PlainSliding:
    """See `SlidingProduct`; by torch itself. `weight` is (D, D / groups, kernel)."""

    weight: Tensor
    bias: Tensor | None
    groups: int

    def __call__(self, rows: Tensor) -> Tensor:
        return functional.conv1d(rows.T[None], self.weight, self.bias, groups=self.groups)[0].T

    def gelu(self, rows: Tensor) -> Tensor:
        return functional.gelu(self(rows))


@dataclass(frozen=True, slots=True)
class FusedSliding:
    """See `SlidingProduct`; through oneDNN's, with rows as they are.

    `weights` are packed for rows (N + kernel - 1, D), by this N; and no others are taken.
    """

    weights: Mapping[int, Tensor]
    kernel: int
    bias: Tensor | None
    groups: int

    def __call__(self, rows: Tensor) -> Tensor:
        return self._convolve(rows, "none", "")

    def gelu(self, rows: Tensor) -> Tensor:
        return self._convolve(rows, "gelu", "none")

    def _convolve(self, rows: Tensor, activation: str, algorithm: str) -> Tensor:
        # An image one pixel high, its channels last in memory: (1, D, 1, N).
        image = rows[None, None].permute(0, 3, 1, 2)
        weight = self.weights[rows.shape[0] - self.kernel + 1]
        out: Tensor = torch.ops.mkldnn._convolution_pointwise(
            image, weight, self.bias, [0, 0], [1, 1], [1, 1], self.groups, activation, [],
            algorithm,
        )  # fmt: skip
        return out.permute(0, 2, 3, 1)[0, 0]


@dataclass(frozen=True, slots=True)
class PositionalConvolution:
    """A convolution that keeps the number of frames, a norm or none, and a GELU."""

    product: SlidingProduct
    kernel: int
    norm: Norm | None
    dtype: torch.dtype

    def __call__(self, frames: Tensor) -> Tensor:
        """Frames (F, D) to frames (F, D)."""
        # transformers pads both ends by kernel // 2 and drops the last frame of an even kernel.
        before = self.kernel // 2
        after = self.kernel - 1 - before
        out = torch.empty_like(frames)
        for start, length in plan_blocks(frames.shape[0]):
            rows = _cut(frames, start - before, start + length + after).to(self.dtype)
            end = min(frames.shape[0], start + length)
            out[start:end] = self._activate(rows)[: end - start]
        return out

    def _activate(self, rows: Tensor) -> Tensor:
        if self.norm is None:
            return self.product.gelu(rows)
        return functional.gelu(self.norm(self.product(rows).contiguous()))


def plan_blocks(frames: int) -> Iterator[tuple[int, int]]:
    """Start and length of the blocks that cover so many frames; the last may reach beyond."""
    for start in range(0, frames, BLOCKS_FRAMES[-1]):
        left = frames - start
        yield start, next((length for length in BLOCKS_FRAMES if length >= left), BLOCKS_FRAMES[-1])


def _cut(frames: Tensor, start: int, end: int) -> Tensor:
    """Frames `start` to `end` (end - start, D), with zeros where there are none."""
    inside = frames[max(0, start) : end]
    left, right = max(0, -start), max(0, end - frames.shape[0])
    return functional.pad(inside, (0, 0, left, right)) if left or right else inside


def pack_positions(module: Any, dtype: torch.dtype) -> tuple[PositionalConvolution, ...]:
    """The positional convolutions of transformers' network: one, or data2vec's stack of them."""
    layers = getattr(module, "layers", None)
    if layers is None:
        return (_pack_one(module.conv, None, dtype),)
    return tuple(_pack_one(layer.conv, layer.layer_norm, dtype) for layer in layers)


def _pack_one(conv: Any, behind: Any, wanted: torch.dtype) -> PositionalConvolution:
    dtype = torch.float32 if has_amx() and has_small_groups(conv) else wanted
    norm = None if behind is None else pack_norm(behind, dtype)
    # Reading `weight` once folds the weight norm into it.
    weight, bias = conv.weight.detach().to(dtype).contiguous(), cast(conv.bias.detach(), dtype)
    kernel, groups = int(weight.shape[2]), int(conv.groups)
    if not can_fuse(dtype):
        return PositionalConvolution(PlainSliding(weight, bias, groups), kernel, norm, dtype)
    channels, image = int(conv.in_channels), weight[:, :, None, :].contiguous()
    weights = {
        length: torch.ops.mkldnn._reorder_convolution_weight(
            image, [0, 0], [1, 1], [1, 1], groups, [1, channels, 1, length + kernel - 1]
        )
        for length in BLOCKS_FRAMES
    }
    product = FusedSliding(weights, kernel, bias, groups)
    return PositionalConvolution(product, kernel, norm, dtype)

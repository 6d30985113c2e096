"""What tells a frame where it stands: the positional convolutions, in blocks of fixed lengths.

oneDNN compiles a kernel for each length it meets (50 ms, and for a few odd lengths one that is
twenty times slower), so utterances are cut into a few lengths that it knows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch.nn import functional

from gaudi_asr_cli.core.models.packed.convolution import Norm, pack_norm
from gaudi_asr_cli.core.models.packed.linear import can_fuse, cast

if TYPE_CHECKING:
    from torch import Tensor

BLOCK_FRAMES = 256
LAST_BLOCK_FRAMES = 32
"""The last block of an utterance is filled up with zeros to a multiple of this."""


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
    """See `SlidingProduct`; through oneDNN's, with rows as they are and a packed weight."""

    weight: Tensor
    bias: Tensor | None
    groups: int

    def __call__(self, rows: Tensor) -> Tensor:
        return self._convolve(rows, "none", "")

    def gelu(self, rows: Tensor) -> Tensor:
        return self._convolve(rows, "gelu", "none")

    def _convolve(self, rows: Tensor, activation: str, algorithm: str) -> Tensor:
        # An image one pixel high, its channels last in memory: (1, D, 1, N).
        image = rows[None, None].permute(0, 3, 1, 2)
        out: Tensor = torch.ops.mkldnn._convolution_pointwise(
            image, self.weight, self.bias, [0, 0], [1, 1], [1, 1], self.groups, activation, [],
            algorithm,
        )  # fmt: skip
        return out.permute(0, 2, 3, 1)[0, 0]


@dataclass(frozen=True, slots=True)
class PositionalConvolution:
    """A convolution that keeps the number of frames, a norm or none, and a GELU."""

    product: SlidingProduct
    kernel: int
    norm: Norm | None

    def __call__(self, frames: Tensor) -> Tensor:
        """Frames (F, D) to frames (F, D)."""
        # transformers pads both ends by kernel // 2 and drops the last frame of an even kernel.
        before = self.kernel // 2
        after = self.kernel - 1 - before
        out = torch.empty_like(frames)
        for start, length in plan_blocks(frames.shape[0]):
            rows = _cut(frames, start - before, start + length + after)
            end = min(frames.shape[0], start + length)
            out[start:end] = self._activate(rows)[: end - start]
        return out

    def _activate(self, rows: Tensor) -> Tensor:
        if self.norm is None:
            return self.product.gelu(rows)
        return functional.gelu(self.norm(self.product(rows).contiguous()))


def plan_blocks(frames: int) -> Iterator[tuple[int, int]]:
    """Start and length of the blocks that cover so many frames; the last may reach beyond."""
    for start in range(0, frames, BLOCK_FRAMES):
        left = min(BLOCK_FRAMES, frames - start)
        yield start, -(-left // LAST_BLOCK_FRAMES) * LAST_BLOCK_FRAMES


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
    return tuple(
        _pack_one(layer.conv, pack_norm(layer.layer_norm, dtype), dtype) for layer in layers
    )


def _pack_one(conv: Any, norm: Norm | None, dtype: torch.dtype) -> PositionalConvolution:
    # Reading `weight` once folds the weight norm into it.
    weight, bias = conv.weight.detach().to(dtype).contiguous(), cast(conv.bias.detach(), dtype)
    kernel, groups = int(weight.shape[2]), int(conv.groups)
    if not can_fuse(dtype):
        return PositionalConvolution(PlainSliding(weight, bias, groups), kernel, norm)
    image = [1, int(conv.in_channels), 1, BLOCK_FRAMES + kernel - 1]
    packed = torch.ops.mkldnn._reorder_convolution_weight(
        weight[:, :, None, :].contiguous(), [0, 0], [1, 1], [1, 1], groups, image
    )
    return PositionalConvolution(FusedSliding(packed, bias, groups), kernel, norm)

"""Convolutional position embeddings, computed in blocks of fixed lengths.

oneDNN compiles a kernel for each new length (10 to 50 ms) and may choose another weight layout for
it: given the layout of another length, it falls back to a kernel that is two hundred times slower
(bf16 with AMX). So utterances are cut into blocks of three lengths, each with its own packed
weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch.nn import functional

from gaudi_asr_cli.core.devices.amx import are_small_groups, has_amx
from gaudi_asr_cli.core.models.cpu.convolution import TORCH_EPS, Norm
from gaudi_asr_cli.core.models.cpu.ctc_layout import WEIGHT_NORMS, Positions
from gaudi_asr_cli.core.models.cpu.linear import can_fuse, prefers_fused
from gaudi_asr_cli.core.models.weights import NetworkWeights

if TYPE_CHECKING:
    from torch import Tensor

BLOCKS_FRAMES = (64, 128, 256)
"""Block lengths, rising: the longest as often as it fits, then the shortest that holds the rest,
padded with zeros. Each has its own weights (10 MB in bf16 for wav2vec 2.0 base)."""
SPECTRAL_FROM_KERNEL = 64
"""Kernel from which spectra are used in float32 without AVX-512; wav2vec 2.0 has 128 frames."""


class SlidingProduct(Protocol):
    """A grouped convolution along time without padding."""

    def __call__(self, rows: Tensor) -> Tensor:
        """Return rows (N, D) for rows (N + kernel - 1, D)."""

    def gelu(self, rows: Tensor) -> Tensor:
        """Return GELU of the convolution."""


@dataclass(frozen=True, slots=True)
class PlainSliding:
    """A `SlidingProduct` that uses torch's own conv1d. `weight` is (D, D / groups, kernel)."""

    weight: Tensor
    bias: Tensor | None
    groups: int

    def __call__(self, rows: Tensor) -> Tensor:
        return functional.conv1d(rows.T[None], self.weight, self.bias, groups=self.groups)[0].T

    def gelu(self, rows: Tensor) -> Tensor:
        return functional.gelu(self(rows))


@dataclass(frozen=True, slots=True)
class FusedSliding:
    """A `SlidingProduct` that uses oneDNN, without transposing the rows.

    `weights` maps N to the weight packed for rows (N + kernel - 1, D); other lengths are invalid.
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
        # (N, D) to an image one pixel high in channels-last order: (1, D, 1, N).
        image = rows[None, None].permute(0, 3, 1, 2)
        weight = self.weights[rows.shape[0] - self.kernel + 1]
        out: Tensor = torch.ops.mkldnn._convolution_pointwise(
            image, weight, self.bias, [0, 0], [1, 1], [1, 1], self.groups, activation, [],
            algorithm,
        )  # fmt: skip
        return out.permute(0, 2, 3, 1)[0, 0]


@dataclass(frozen=True, slots=True)
class SpectralSliding:
    """A `SlidingProduct` that multiplies spectra: a fifth of the time of the others on AVX2.

    `spectrum` (Q x groups, D / groups, D / groups) is that of the weight, conjugated, at the Q
    frequencies of windows of `length` frames; a window gives `length` - kernel + 1 frames.
    """

    spectrum: Tensor
    length: int
    kernel: int
    bias: Tensor
    groups: int

    def __call__(self, rows: Tensor) -> Tensor:
        count, channels = rows.shape[0] - self.kernel + 1, rows.shape[1]
        step = self.length - self.kernel + 1
        blocks = -(-count // step)
        missing = blocks * step + self.kernel - 1 - rows.shape[0]
        windows = functional.pad(rows, (0, 0, 0, missing)).unfold(0, self.length, step)
        spectra = torch.fft.rfft(windows).view(blocks, self.groups, channels // self.groups, -1)
        # (B, G, S, Q) to (Q x G, B, S), and back
        inputs = spectra.permute(3, 1, 0, 2).reshape(-1, blocks, channels // self.groups)
        outputs = torch.bmm(inputs, self.spectrum).view(-1, self.groups, *inputs.shape[1:])
        summed = outputs.permute(2, 1, 3, 0).reshape(blocks, channels, -1)
        frames = torch.fft.irfft(summed, self.length)[..., :step].transpose(1, 2)
        out: Tensor = frames.reshape(-1, channels)[:count].add_(self.bias)
        return out

    def gelu(self, rows: Tensor) -> Tensor:
        out: Tensor = torch.ops.aten.gelu_(self(rows))
        return out


@dataclass(frozen=True, slots=True)
class PositionalConvolution:
    """A convolution that keeps the number of frames, an optional norm, and GELU."""

    product: SlidingProduct
    kernel: int
    norm: Norm | None
    dtype: torch.dtype

    def __call__(self, frames: Tensor) -> Tensor:
        """Return the position embeddings (F, D) of frames (F, D)."""
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
    """Yield start and length of the blocks that cover `frames`; the last may exceed them."""
    for start in range(0, frames, BLOCKS_FRAMES[-1]):
        rest = frames - start
        yield start, next((length for length in BLOCKS_FRAMES if length >= rest), BLOCKS_FRAMES[-1])


def _cut(frames: Tensor, start: int, end: int) -> Tensor:
    """Return frames `start` to `end` (end - start, D), zero outside the utterance."""
    inside = frames[max(0, start) : end]
    left, right = max(0, -start), max(0, end - frames.shape[0])
    return functional.pad(inside, (0, 0, left, right)) if left or right else inside


def pack_positions(
    weights: NetworkWeights, positions: Positions, dtype: torch.dtype
) -> tuple[PositionalConvolution, ...]:
    """Pack the positional convolutions: one, or data2vec's stack, whose norms have no weights."""
    if positions.stacked is None:
        module = weights.below("conv")
        return (_pack_one(fold_weight_norm(module), module["bias"], positions, dtype),)
    modules = [weights.below(f"layers.{index}.conv") for index in range(positions.stacked)]
    return tuple(_pack_one(one["weight"], one["bias"], positions, dtype) for one in modules)


def fold_weight_norm(weights: NetworkWeights) -> Tensor:
    """Return the weight (D, D / groups, kernel) of a convolution with a norm of its weight."""
    for gain, direction in WEIGHT_NORMS:
        if gain in weights:
            return torch._weight_norm(weights[direction].detach(), weights[gain].detach(), 2)
    return weights["weight"]


def pack_spectral(weight: Tensor, bias: Tensor, groups: int) -> SpectralSliding:
    """Transform the weight (D, D / groups, kernel) of a grouped convolution."""
    channels, size, kernel = weight.shape
    length = 2 * kernel
    spectrum = torch.fft.rfft(weight, length).conj().view(groups, channels // groups, size, -1)
    # (G, out, in, Q) to (Q x G, in, out)
    packed = spectrum.permute(3, 0, 2, 1).reshape(-1, size, channels // groups).resolve_conj()
    return SpectralSliding(packed.contiguous(), length, kernel, bias, groups)


def _pack_one(
    weight: Tensor, bias: Tensor, positions: Positions, wanted: torch.dtype
) -> PositionalConvolution:
    channels, groups, kernel = weight.shape[0], positions.groups, positions.kernel
    dtype = torch.float32 if has_amx() and are_small_groups(channels, groups) else wanted
    norm = None if positions.stacked is None else Norm(channels, None, None, TORCH_EPS)
    weight, bias = weight.detach().to(dtype).contiguous(), bias.detach().to(dtype).contiguous()
    if not can_fuse(dtype):
        return PositionalConvolution(PlainSliding(weight, bias, groups), kernel, norm, dtype)
    if dtype == torch.float32 and kernel >= SPECTRAL_FROM_KERNEL and not prefers_fused():
        return PositionalConvolution(pack_spectral(weight, bias, groups), kernel, norm, dtype)
    image = weight[:, :, None, :].contiguous()
    packed = {
        length: torch.ops.mkldnn._reorder_convolution_weight(
            image, [0, 0], [1, 1], [1, 1], groups, [1, channels, 1, length + kernel - 1]
        )
        for length in BLOCKS_FRAMES
    }
    product = FusedSliding(packed, kernel, bias, groups)
    return PositionalConvolution(product, kernel, norm, dtype)

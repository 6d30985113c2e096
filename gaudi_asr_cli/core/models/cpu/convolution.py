"""The convolutional feature encoder, as matrix products over windows, in blocks of frames.

All rows of a window are contiguous in memory, so the window matrix is a view whose rows overlap:
nothing is copied. A block of frames passes through all layers while it is in the cache.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Protocol

import torch
from torch.nn import functional

from gaudi_asr_cli.core.models.cpu.ctc_layout import CtcLayout
from gaudi_asr_cli.core.models.cpu.linear import (
    Linear,
    LinearMaker,
    can_fuse,
    linear_maker,
    prefers_fused,
    unpacked_linear,
)
from gaudi_asr_cli.core.models.geometry import Convolution
from gaudi_asr_cli.core.models.weights import NetworkWeights

if TYPE_CHECKING:
    from torch import Tensor

BLOCK_FRAMES = 128
"""Frames that pass through all layers at once; 64 to 192 are within two percent of each other."""
TORCH_EPS = 1e-5
"""Default epsilon of torch's norms, which the norms of convolutions and adapters have."""
PAIRED_SHAPE = Convolution(kernel=3, stride=2)
"""What `PairedWindows` computes: four of the six later convolutions of wav2vec 2.0."""
STATISTICS_ROWS = 16_384
"""Windows whose covariance is computed at once: bounds memory for long audio."""


@dataclass(frozen=True, slots=True)
class Norm:
    """A layer norm over the last dimension, with or without weights (C,)."""

    size: int
    weight: Tensor | None
    bias: Tensor | None
    eps: float

    def __call__(self, rows: Tensor) -> Tensor:
        return functional.layer_norm(rows, (self.size,), self.weight, self.bias, self.eps)


def pack_norm(weights: NetworkWeights, dtype: torch.dtype, eps: float = TORCH_EPS) -> Norm:
    """Pack the weights of a layer norm in `dtype`."""
    weight, bias = weights["weight"].detach().to(dtype), weights["bias"].detach().to(dtype)
    return Norm(weight.shape[0], weight, bias, eps)


@dataclass(frozen=True, slots=True)
class GroupNormed:
    """The first convolution, followed by an instance norm over time (wav2vec 2.0 base).

    The norm's mean and variance follow in closed form from those of the windows x (kernel,): the
    output w x has the mean w E[x] and the variance w Cov[x] w'. So the norm is known before the
    convolution is computed and is folded into its weight. `weight` is float64 (C, kernel).
    """

    weight: Tensor
    scale: Tensor
    shift: Tensor
    eps: float

    def fold(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """Return float32 weight (C, kernel) and bias (C,) that include the norm."""
        mean, covariance = _measure(windows)
        variance = ((self.weight @ covariance) * self.weight).sum(1)
        gain = self.scale / (variance + self.eps).sqrt()
        bias = self.shift - gain * (self.weight @ mean)
        return (self.weight * gain[:, None]).float(), bias.float()


@dataclass(frozen=True, slots=True)
class LayerNormed:
    """The first convolution, followed by a layer norm over channels; weight (C, kernel)."""

    weight: Tensor
    bias: Tensor
    norm: Norm


class WindowProduct(Protocol):
    """A convolution over frames: rows (N, C) to rows (n, D)."""

    def __call__(self, rows: Tensor) -> Tensor:
        """Convolve."""

    def gelu(self, rows: Tensor) -> Tensor:
        """Convolve and apply GELU."""


WindowMaker = Callable[["Tensor", "Tensor | None", Convolution], WindowProduct]
"""Builds a `WindowProduct` from a weight (D, kernel x C), a bias (D,), and kernel and stride."""


@dataclass(frozen=True, slots=True)
class LinearWindows:
    """A `WindowProduct` in floating point."""

    linear: Linear
    shape: Convolution

    def __call__(self, rows: Tensor) -> Tensor:
        return self.linear(slide(rows, self.shape))

    def gelu(self, rows: Tensor) -> Tensor:
        return self.linear.gelu(slide(rows, self.shape))


@dataclass(frozen=True, slots=True)
class PairedWindows:
    """A `WindowProduct` of kernel 3 and stride 2 that needs five sixths of the multiplications.

    Two outputs of the rows r0 to r4 share a product m = (w0 + w2) r2 (Winograd's F(2, 2) for the
    even rows): they are w0 (r0 - r2) + w1 r1 + m and w2 (r4 - r2) + w1 r3 + m. As exact in float32;
    a seventh faster than `LinearWindows` on AVX2, where products take longest.

    `first` has the weights (w0, w1) and the bias, `second` (w2, w1) and the bias, `common` w0 + w2.
    """

    first: Linear
    second: Linear
    common: Linear

    def __call__(self, rows: Tensor) -> Tensor:
        channels = rows.shape[1]
        count = PAIRED_SHAPE.count_outputs(rows.shape[0])
        pairs, whole = (count + 1) // 2, count // 2
        middle = rows[2::4][:pairs]
        first, second = rows.new_empty(2, pairs, 2 * channels)
        torch.sub(rows[0::4][:pairs], middle, out=first[:, :channels])
        first[:, channels:] = rows[1::4][:pairs]
        torch.sub(rows[4::4][:whole], middle[:whole], out=second[:whole, :channels])
        second[:whole, channels:] = rows[3::4][:whole]
        # The last pair may lack its second output, which is cut off below.
        second[whole:] = 0.0
        common = self.common(middle)
        out = rows.new_empty(pairs, 2, common.shape[1])
        torch.add(self.first(first), common, out=out[:, 0])
        torch.add(self.second(second), common, out=out[:, 1])
        return out.view(2 * pairs, -1)[:count]

    def gelu(self, rows: Tensor) -> Tensor:
        out: Tensor = torch.ops.aten.gelu_(self(rows))
        return out


def slide(rows: Tensor, shape: Convolution) -> Tensor:
    """Return the windows (n, kernel x C) over rows (N, C), as a view that overlaps in memory."""
    channels = rows.shape[1]
    count = shape.count_outputs(rows.shape[0])
    return rows.as_strided((count, shape.kernel * channels), (shape.stride * channels, 1))


@dataclass(frozen=True, slots=True)
class LaterConvolution:
    """A convolution over frames (F, C), an optional layer norm, and GELU."""

    product: WindowProduct
    norm: Norm | None
    shape: Convolution

    def __call__(self, rows: Tensor) -> Tensor:
        """Return rows (n, D) for rows (N, C)."""
        if self.norm is None:
            return self.product.gelu(rows)
        return functional.gelu(self.norm(self.product(rows)))


@dataclass(frozen=True, slots=True)
class FeatureEncoder:
    """The convolutional feature encoder: normalised samples to features."""

    first: GroupNormed | LayerNormed
    first_shape: Convolution
    later: tuple[LaterConvolution, ...]
    channels: int
    dtype: torch.dtype

    def __call__(self, samples: Tensor) -> Tensor:
        """Return features (F, C) in the network's dtype for samples float32 (T,)."""
        shape = self.first_shape
        count = shape.count_outputs(samples.shape[0])
        windows = samples.as_strided((count, shape.kernel), (shape.stride, 1))  # (N, kernel)
        compute_first = self._prepare_first(samples, windows)
        frames = count
        for layer in self.later:
            frames = layer.shape.count_outputs(frames)
        out = torch.empty(frames, self.channels, dtype=self.dtype)
        step = prod(layer.shape.stride for layer in self.later)
        for start in range(0, frames, BLOCK_FRAMES):
            end = min(frames, start + BLOCK_FRAMES)
            rows = compute_first(start * step, start * step + self._count_rows(end - start))
            for layer in self.later:
                rows = layer(rows)
            out[start:end] = rows
        return out

    def _count_rows(self, frames: int) -> int:
        """Return how many rows of the first convolution `frames` output frames need."""
        for layer in reversed(self.later):
            frames = layer.shape.count_inputs(frames)
        return frames

    def _prepare_first(self, samples: Tensor, windows: Tensor) -> FirstRows:
        if isinstance(self.first, GroupNormed):
            weight, bias = self.first.fold(windows)
            norm = None
        else:
            weight, bias, norm = self.first.weight, self.first.bias, self.first.norm
        if self.dtype == torch.float32:
            return FirstRows(windows, unpacked_linear(weight, bias), norm)
        split, linear = split_samples(samples, self.dtype), split_linear(weight, bias, self.dtype)
        return FirstRows(slide(split, self.first_shape), linear, norm)


@dataclass(frozen=True, slots=True)
class FirstRows:
    """The first convolution of one utterance, computed for a range of rows."""

    windows: Tensor
    linear: Linear
    norm: Norm | None

    def __call__(self, start: int, end: int) -> Tensor:
        """Return rows `start` to `end` (end - start, C) after norm and GELU."""
        windows = self.windows[start:end]
        if self.norm is None:
            return self.linear.gelu(windows)
        return functional.gelu(self.norm(self.linear(windows)))


def split_samples(samples: Tensor, dtype: torch.dtype) -> Tensor:
    """Split samples (T,) into rows (T, 3) in `dtype` for `split_linear`.

    In bf16 a sample would keep three digits, too few for quiet speech next to loud noise. So
    sample and weight are each a sum of two bf16 numbers, (a + b)(c + d) = ac + bc + ad + rest: each
    sample becomes a, b, a and is multiplied by c, c, d.
    """
    high, low = _split(samples, dtype)
    return torch.stack([high, low, high], 1)


def split_linear(weight: Tensor, bias: Tensor, dtype: torch.dtype) -> Linear:
    """Return the product of windows (N, 3 kernel) of `split_samples` with a weight (C, kernel)."""
    high, low = _split(weight, dtype)
    columns = torch.stack([high, high, low], 2).flatten(1)
    # oneDNN adds a float32 bias before it rounds; torch's own linear needs it in `dtype`.
    return unpacked_linear(columns, bias if can_fuse(dtype) else bias.to(dtype))


def _measure(windows: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean (K,) and covariance (K, K) of windows (N, K), in float64."""
    count, kernel = windows.shape
    mean = windows.mean(0, dtype=torch.float64)
    covariance = torch.zeros(kernel, kernel, dtype=torch.float64)
    for start in range(0, count, STATISTICS_ROWS):
        # In float32 the sums over a long recording lose two digits of the logits.
        centred = windows[start : start + STATISTICS_ROWS].double() - mean
        covariance += centred.T @ centred
    return mean, covariance / count


def _split(values: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return two tensors in `dtype` whose sum is `values` to about twice its precision."""
    high = values.to(dtype)
    return high, (values - high.float()).to(dtype)


def window_maker(dtype: torch.dtype) -> WindowMaker:
    """Return a builder of convolutions that compute in `dtype`."""
    make_linear = linear_maker(dtype)
    pairs = dtype == torch.float32 and can_fuse(dtype) and not prefers_fused()

    def make(weight: Tensor, bias: Tensor | None, shape: Convolution) -> WindowProduct:
        if pairs and shape == PAIRED_SHAPE:
            return _pair_windows(weight.float(), bias, make_linear)
        return LinearWindows(make_linear(weight, bias), shape)

    return make


def _pair_windows(weight: Tensor, bias: Tensor | None, make: LinearMaker) -> PairedWindows:
    before, middle, after = weight.chunk(3, dim=1)
    return PairedWindows(
        first=make(torch.cat([before, middle], dim=1), bias),
        second=make(torch.cat([after, middle], dim=1), bias),
        common=make(before + after, None),
    )


def pack_features(
    weights: NetworkWeights, layout: CtcLayout, make: WindowMaker, dtype: torch.dtype
) -> FeatureEncoder:
    """Pack the feature encoder from its weights.

    `make` builds all convolutions but the first, whose input is the raw samples.
    """
    modules = [weights.below(f"conv_layers.{i}") for i in range(len(layout.convolutions))]
    return FeatureEncoder(
        first=_pack_first(modules[0], layout.group_norm, dtype),
        first_shape=layout.convolutions[0],
        later=tuple(
            _pack_later(module, make, shape, dtype)
            for module, shape in zip(modules[1:], layout.convolutions[1:], strict=True)
        ),
        channels=layout.channels[-1],
        dtype=dtype,
    )


def _pack_first(
    module: NetworkWeights, group_norm: bool, dtype: torch.dtype
) -> GroupNormed | LayerNormed:
    weight, norm = module["conv.weight"].detach()[:, 0, :], module.below("layer_norm")
    if group_norm:
        # A bias before the norm is removed with the mean.
        scale, shift = norm["weight"].detach().double(), norm["bias"].detach().double()
        return GroupNormed(weight.double(), scale, shift, TORCH_EPS)
    bias = module.get("conv.bias")
    zeros = torch.zeros(weight.shape[0])
    shift = zeros if bias is None else bias.detach().float()
    return LayerNormed(weight.float().contiguous(), shift, pack_norm(norm, dtype))


def _pack_later(
    module: NetworkWeights, make: WindowMaker, shape: Convolution, dtype: torch.dtype
) -> LaterConvolution:
    weight, bias = module["conv.weight"].detach(), module.get("conv.bias")
    # (out, in, kernel) to (out, kernel x in): the memory order of frames.
    rows = weight.permute(0, 2, 1).reshape(weight.shape[0], -1)
    has_norm = "layer_norm.weight" in module
    packed = pack_norm(module.below("layer_norm"), dtype) if has_norm else None
    product = make(rows, None if bias is None else bias.detach(), shape)
    return LaterConvolution(product, packed, shape)

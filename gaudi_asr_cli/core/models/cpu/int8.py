"""Dynamic int8 quantisation: up to twice as fast as bf16, at a small cost in accuracy.

No calibration is needed: activations are quantised at run time. Weights have one scale per output.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from gaudi_asr_cli.core.models.cpu.convolution import WindowProduct, slide
from gaudi_asr_cli.core.models.cpu.linear import PACKED_ROWS, Linear, LinearMaker, can_fuse
from gaudi_asr_cli.core.models.geometry import Convolution

if TYPE_CHECKING:
    from torch import Tensor

INT8_LARGEST = 126
"""Largest quantised magnitude. Not 127: the row's scale is rounded to bf16, possibly down, and 128
would overflow."""
INT8_ZERO = 128
"""Zero point of the activations, which are unsigned: for signed ones oneDNN falls back to a
reference kernel that is four thousand times slower."""
SMALLEST_SCALE = 1e-6
VALUES_PER_BLOCK = 200_000
"""Values that pass through all steps of quantisation at once, so that they stay in the cache."""


@dataclass(frozen=True, slots=True)
class Int8Weight:
    """A weight packed for oneDNN, its scales float32 (O,), its zero points int64 (O,), all zero."""

    packed: Tensor
    scales: Tensor
    zeros: Tensor

    def multiply(
        self,
        steps: Tensor,
        scale: float,
        zero: int,
        bias: Tensor | None,
        dtype: torch.dtype,
        *,
        gelu: bool = False,
    ) -> Tensor:
        """Return rows (F, O) in `dtype` for rows uint8 (F, I) that mean (step - zero) x scale."""
        activation, algorithm = ("gelu", "none") if gelu else ("none", "")
        product: Tensor = torch.ops.onednn.qlinear_pointwise(
            steps, scale, zero, self.packed, self.scales, self.zeros, bias, 1.0, 0, dtype,
            activation, [], algorithm,
        )  # fmt: skip
        return product


@dataclass(frozen=True, slots=True)
class Int8Linear:
    """A `Linear` in int8 with one scale per row of the activations and per row of the weight.

    A frame with large values does not reduce the precision of the others.
    """

    weight: Int8Weight
    bias: Tensor

    def __call__(self, rows: Tensor) -> Tensor:
        product, scales = self._multiply(rows)
        return torch.addcmul(self.bias, product, scales, out=product)

    def gelu(self, rows: Tensor) -> Tensor:
        product: Tensor = torch.ops.aten.gelu_(self(rows))
        return product

    def add(self, rows: Tensor, residual: Tensor) -> Tensor:
        product, scales = self._multiply(rows)
        return torch.addcmul(residual, product, scales, out=product).add_(self.bias)

    def _multiply(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the product (F, O) in units of the rows' scales (F, 1), and these scales."""
        quantised, scales = quantise_rows(rows)
        return self.weight.multiply(quantised, 1.0, INT8_ZERO, None, rows.dtype), scales


@dataclass(frozen=True, slots=True)
class Int8Windows:
    """A `WindowProduct` in int8 with one scale for all rows of a call, and fused GELU.

    Values after a GELU are mostly positive, so the zero point moves: all 256 steps are used.
    `bias` is float32 (O,).
    """

    weight: Int8Weight
    bias: Tensor | None
    shape: Convolution

    def __call__(self, rows: Tensor) -> Tensor:
        return self._multiply(rows, gelu=False)

    def gelu(self, rows: Tensor) -> Tensor:
        return self._multiply(rows, gelu=True)

    def _multiply(self, rows: Tensor, *, gelu: bool) -> Tensor:
        span = find_span(rows)
        if not math.isfinite(span.scale):
            count = self.shape.count_outputs(rows.shape[0])
            return rows.new_full((count, self.weight.scales.shape[0]), math.nan)
        windows = slide(quantise(rows, span), self.shape)
        return self.weight.multiply(
            windows, span.scale, span.zero, self.bias, rows.dtype, gelu=gelu
        )


@dataclass(frozen=True, slots=True)
class Span:
    """An affine quantisation to 256 steps: a value is (step - zero) x scale."""

    scale: float
    zero: int


def find_span(rows: Tensor) -> Span:
    """Return the span of all values and zero; its scale is not finite if a value is not."""
    low, high = (float(value) for value in torch.aminmax(rows))
    low, high = min(low, 0.0), max(high, 0.0)
    scale = max((high - low) / 255, SMALLEST_SCALE)
    return Span(scale, round(-low / scale) if math.isfinite(scale) else 0)


def quantise(rows: Tensor, span: Span) -> Tensor:
    """Return values as unsigned bytes, the steps of the span."""
    steps = rows.float().mul(1 / span.scale).add_(span.zero - INT8_ZERO).round_()
    return _unsigned(steps.clamp_(-128, 127))


def quantise_rows(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return rows (F, I) as unsigned bytes around `INT8_ZERO`, and scales (F, 1) in their dtype.

    The scale is rounded before the division, so rounding it adds no error. The division is in
    float32: in bf16 it would round a second time.
    """
    steps = torch.empty(rows.shape, dtype=torch.uint8)
    scales = torch.empty(rows.shape[0], 1, dtype=rows.dtype)
    block = max(1, VALUES_PER_BLOCK // rows.shape[1])
    for start in range(0, rows.shape[0], block):
        part = slice(start, start + block)
        exact = rows[part].float()
        # Two passes that store nothing are faster than one with `abs`, which allocates.
        largest = torch.maximum(exact.amax(1, keepdim=True), -exact.amin(1, keepdim=True))
        scales[part] = largest.div_(INT8_LARGEST).clamp_(min=SMALLEST_SCALE)
        steps[part] = _unsigned(exact.mul(1 / scales[part].float()).round_())
    return steps, scales


def _unsigned(steps: Tensor) -> Tensor:
    """Convert integers from -128 to 127 to unsigned bytes, adding 128."""
    # torch converts floats to signed bytes ten times faster than to unsigned ones; flipping the top
    # bit of a signed byte adds 128.
    return steps.to(torch.int8).view(torch.uint8).bitwise_xor_(INT8_ZERO)


def can_quantise() -> bool:
    """Return whether this build of torch has oneDNN's int8 matrix product."""
    return can_fuse(torch.float32) and hasattr(torch.ops.onednn, "qlinear_pointwise")


def int8_linear_maker(dtype: torch.dtype) -> LinearMaker:
    """Return a builder of int8 linears whose inputs and outputs are in `dtype`."""

    def make(weight: Tensor, bias: Tensor | None) -> Linear:
        zeros = torch.zeros(weight.shape[0], dtype=dtype)
        return Int8Linear(pack_int8(weight), zeros if bias is None else bias.to(dtype))

    return make


def int8_window_maker(weight: Tensor, bias: Tensor | None, shape: Convolution) -> WindowProduct:
    """Build an int8 convolution."""
    return Int8Windows(pack_int8(weight), None if bias is None else bias.float(), shape)


def pack_int8(weight: Tensor) -> Int8Weight:
    """Quantise a weight (O, I) to 255 steps per output, and pack it."""
    scales = weight.float().abs().amax(1).clamp(min=1e-8) / 127
    quantised = (weight.float() / scales[:, None]).round().clamp(-127, 127).to(torch.int8)
    outputs, inputs = quantised.shape
    packed = torch.ops.onednn.qlinear_prepack(quantised, [PACKED_ROWS, inputs])
    return Int8Weight(packed, scales, torch.zeros(outputs, dtype=torch.int64))

"""Matrix products of 8-bit integers: up to twice as fast as bf16's, at a small cost in accuracy.

Nothing needs to be calibrated: what comes in is quantised as it comes. Weights have a scale for
each output.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from gaudi_asr_cli.core.models.cpu.convolution import WindowProduct, slide
from gaudi_asr_cli.core.models.cpu.linear import USUAL_ROWS, Linear, LinearMaker, can_fuse
from gaudi_asr_cli.core.models.geometry import Convolution

if TYPE_CHECKING:
    from torch import Tensor

INT8_LARGEST = 126
"""Largest quantised magnitude. Not 127: the row's scale is rounded to bf16 and may come out small,
and 128 would wrap around."""
INT8_ZERO = 128
"""Activations are sent as unsigned bytes around this: for signed ones oneDNN falls back to a
reference kernel four thousand times slower."""
SMALLEST_SCALE = 1e-6
QUANTISED_TOGETHER = 200_000
"""Numbers that go through all steps of quantisation together, so that they stay in the cache."""


@dataclass(frozen=True, slots=True)
class Int8Weight:
    """A weight packed for oneDNN, its scales float32 (O,); the zeros, int64 (O,), are all zero."""

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
        """Rows uint8 (F, I), (step - zero) x scale, to rows (F, O) in `dtype`."""
        activation, algorithm = ("gelu", "none") if gelu else ("none", "")
        product: Tensor = torch.ops.onednn.qlinear_pointwise(
            steps, scale, zero, self.packed, self.scales, self.zeros, bias, 1.0, 0, dtype,
            activation, [], algorithm,
        )  # fmt: skip
        return product


@dataclass(frozen=True, slots=True)
class Int8Linear:
    """See `Linear`; one scale for each row of the activations and for each row of the weight.

    A frame that is louder than the others does not make them coarse.
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
        """The product (F, O) in units of the rows' scales (F, 1), which are applied after it."""
        quantised, scales = quantise_rows(rows)
        return self.weight.multiply(quantised, 1.0, INT8_ZERO, None, rows.dtype), scales


@dataclass(frozen=True, slots=True)
class Int8Windows:
    """See `WindowProduct`; one scale for all rows that come in together, GELU fused.

    Rows behind a GELU lie far more above zero than below, so the zero moves: all 256 steps serve.
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
    """Where 256 steps lie: a number is (step - zero) x scale."""

    scale: float
    zero: int


def find_span(rows: Tensor) -> Span:
    """The span that holds every number of `rows`, and zero; its scale is not finite if one is."""
    low, high = (float(one) for one in torch.aminmax(rows))
    low, high = min(low, 0.0), max(high, 0.0)
    scale = max((high - low) / 255, SMALLEST_SCALE)
    return Span(scale, round(-low / scale) if math.isfinite(scale) else 0)


def quantise(rows: Tensor, span: Span) -> Tensor:
    """Numbers as unsigned bytes: steps of the span."""
    steps = rows.float().mul(1 / span.scale).add_(span.zero - INT8_ZERO).round_()
    return _unsigned(steps.clamp_(-128, 127))


def quantise_rows(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Rows (F, I) as unsigned bytes around `INT8_ZERO`, and their scales (F, 1) in the rows' dtype.

    The scale is rounded first and then divided by, so its rounding is no error. The division is in
    float32: bf16's would round a second time.
    """
    steps = torch.empty(rows.shape, dtype=torch.uint8)
    scales = torch.empty(rows.shape[0], 1, dtype=rows.dtype)
    together = max(1, QUANTISED_TOGETHER // rows.shape[1])
    for start in range(0, rows.shape[0], together):
        part = slice(start, start + together)
        exact = rows[part].float()
        # Two passes that write nothing are faster than one through `abs`, which does.
        largest = torch.maximum(exact.amax(1, keepdim=True), -exact.amin(1, keepdim=True))
        scales[part] = largest.div_(INT8_LARGEST).clamp_(min=SMALLEST_SCALE)
        steps[part] = _unsigned(exact.mul(1 / scales[part].float()).round_())
    return steps, scales


def _unsigned(steps: Tensor) -> Tensor:
    """Whole numbers from -128 to 127 as bytes that are 128 more."""
    # torch makes signed bytes of floats ten times faster than unsigned ones; flipping the top bit
    # of a signed byte adds 128.
    return steps.to(torch.int8).view(torch.uint8).bitwise_xor_(INT8_ZERO)


def can_quantise() -> bool:
    """Whether this build of torch has oneDNN's product of 8-bit integers."""
    return can_fuse(torch.float32) and hasattr(torch.ops.onednn, "qlinear_pointwise")


def int8_linear_maker(dtype: torch.dtype) -> LinearMaker:
    """Makes linears that multiply 8-bit integers and take and give rows in `dtype`."""

    def make(weight: Tensor, bias: Tensor | None) -> Linear:
        zeros = torch.zeros(weight.shape[0], dtype=dtype)
        return Int8Linear(pack_int8(weight), zeros if bias is None else bias.to(dtype))

    return make


def int8_window_maker(weight: Tensor, bias: Tensor | None, shape: Convolution) -> WindowProduct:
    """A convolution in 8-bit integers."""
    return Int8Windows(pack_int8(weight), None if bias is None else bias.float(), shape)


def pack_int8(weight: Tensor) -> Int8Weight:
    """A weight (O, I), in 255 steps for each output."""
    scales = weight.float().abs().amax(1).clamp(min=1e-8) / 127
    quantised = (weight.float() / scales[:, None]).round().clamp(-127, 127).to(torch.int8)
    outputs, inputs = quantised.shape
    packed = torch.ops.onednn.qlinear_prepack(quantised, [USUAL_ROWS, inputs])
    return Int8Weight(packed, scales, torch.zeros(outputs, dtype=torch.int64))

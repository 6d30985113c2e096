"""Dynamic int8 quantisation of linears: twice as fast, at a small cost in accuracy.

No calibration is needed: activations are quantised at run time. Weights have one scale per output.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import torch

from gaudi_asr_cli.core.models.cpu.linear import PACKED_ROWS, Linear, LinearMaker, can_fuse

if TYPE_CHECKING:
    from torch import Tensor

INT8_ZERO = 128
"""Zero point of the activations, which are unsigned: for signed ones oneDNN falls back to a
reference kernel that is four thousand times slower."""
ZERO_AFTER_GELU = 32
"""Zero point of activations after a GELU, which are never below -0.17: positive ones get 222 steps
instead of 126."""
INT8_LARGEST = 127
"""Largest step of a weight."""
MEAN_STEP = 8
"""The mean row is that of every eighth row: the mean of all of them is no better."""
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
    ) -> Tensor:
        """Return rows (F, O) in `dtype` for rows uint8 (F, I) that mean (step - zero) x scale."""
        product: Tensor = torch.ops.onednn.qlinear_pointwise(
            steps, scale, zero, self.packed, self.scales, self.zeros, bias, 1.0, 0, dtype,
            "none", [], "",
        )  # fmt: skip
        return product


@dataclass(frozen=True, slots=True)
class Int8Linear:
    """A `Linear` in int8 with one scale per row of the activations and per row of the weight.

    A frame with large values does not reduce the precision of the others. Most of the error of a
    rounded weight is the same for all rows of an utterance: the product of what rounding took from
    the weight, `residue`, with the mean row is added to the bias float32 (O,).
    """

    weight: Int8Weight
    residue: Int8Weight
    bias: Tensor
    zero: int

    def __call__(self, rows: Tensor) -> Tensor:
        product, scales = self._multiply(rows)
        return torch.addcmul(self._corrected_bias(rows), product, scales, out=product)

    def gelu(self, rows: Tensor) -> Tensor:
        product: Tensor = torch.ops.aten.gelu_(self(rows))
        return product

    def add(self, rows: Tensor, residual: Tensor) -> Tensor:
        product, scales = self._multiply(rows)
        torch.addcmul(residual, product, scales, out=product)
        return product.add_(self._corrected_bias(rows))

    def _multiply(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the product (F, O) in units of the rows' scales (F, 1), and these scales."""
        quantised, scales = quantise_rows(rows, self.zero)
        return self.weight.multiply(quantised, 1.0, self.zero, None, rows.dtype), scales

    def _corrected_bias(self, rows: Tensor) -> Tensor:
        """Return the bias (O,) plus the product of the residue with the mean row."""
        mean = rows[::MEAN_STEP].mean(0, keepdim=True)  # (1, I)
        steps, scales = quantise_rows(mean)
        lost = self.residue.multiply(steps, 1.0, INT8_ZERO, None, torch.float32)
        return torch.addcmul(self.bias, lost, scales)[0]


def quantise_rows(rows: Tensor, zero: int = INT8_ZERO) -> tuple[Tensor, Tensor]:
    """Return rows (F, I) as unsigned bytes around `zero`, and scales (F, 1) in their dtype.

    The scale is rounded before the division, so rounding it adds no error. The division is in
    float32: in bf16 it would round a second time.
    """
    steps = torch.empty(rows.shape, dtype=torch.uint8)
    scales = torch.empty(rows.shape[0], 1, dtype=rows.dtype)
    # A step less than there are: the scale is rounded to bf16, possibly down.
    above, below = 254 - zero, zero - 2
    shift = torch.tensor(float(zero - INT8_ZERO))
    block = max(1, VALUES_PER_BLOCK // rows.shape[1])
    for start in range(0, rows.shape[0], block):
        part = slice(start, start + block)
        exact = rows[part].float()
        # Two passes that store nothing are faster than one with `abs`, which allocates.
        largest = torch.maximum(
            exact.amax(1, keepdim=True) / above, exact.amin(1, keepdim=True) / -below
        )
        scales[part] = largest.clamp_(min=SMALLEST_SCALE)
        steps[part] = _unsigned(torch.addcmul(shift, exact, 1 / scales[part].float()).round_())
    return steps, scales


def _unsigned(steps: Tensor) -> Tensor:
    """Convert integers from -128 to 127 to unsigned bytes, adding 128."""
    # torch converts floats to signed bytes ten times faster than to unsigned ones; flipping the top
    # bit of a signed byte adds 128.
    return steps.to(torch.int8).view(torch.uint8).bitwise_xor_(INT8_ZERO)


def can_quantise() -> bool:
    """Return whether this build of torch has oneDNN's int8 matrix product; it may saturate."""
    return can_fuse(torch.float32) and hasattr(torch.ops.onednn, "qlinear_pointwise")


@cache
def saturates() -> bool:
    """Return whether oneDNN adds the products of two neighbours in 16 bits here: without VNNI.

    Many sums then exceed 16 bits, and the error of a product doubles.
    """
    weight = pack_int8(torch.ones(1, 64))
    product = weight.multiply(
        torch.full((1, 64), 255, dtype=torch.uint8), 1.0, 0, None, torch.float32
    )
    return float(product[0, 0]) < 0.99 * 64 * 255


def int8_linear_maker(*, after_gelu: bool = False) -> LinearMaker:
    """Return a builder of int8 linears, float32 in and out, for the rows of one utterance.

    Args:
        after_gelu: Whether the rows are those of a GELU.
    """
    zero = ZERO_AFTER_GELU if after_gelu else INT8_ZERO

    def make(weight: Tensor, bias: Tensor | None) -> Linear:
        steps, scales = round_weight(weight)
        return Int8Linear(
            weight=_pack_steps(steps, scales),
            residue=pack_int8(weight.float() - steps.float() * scales[:, None]),
            bias=torch.zeros(weight.shape[0]) if bias is None else bias.float(),
            zero=zero,
        )

    return make


def pack_int8(weight: Tensor) -> Int8Weight:
    """Quantise a weight (O, I) to 255 steps per output, and pack it."""
    return _pack_steps(*round_weight(weight))


def round_weight(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return a weight (O, I) in steps from -127 to 127, int8, and scales float32 (O,)."""
    scales = weight.float().abs().amax(1).clamp(min=1e-8) / INT8_LARGEST
    steps = (weight.float() / scales[:, None]).round().clamp(-INT8_LARGEST, INT8_LARGEST)
    return steps.to(torch.int8), scales


def _pack_steps(steps: Tensor, scales: Tensor) -> Int8Weight:
    outputs, inputs = steps.shape
    packed = torch.ops.onednn.qlinear_prepack(steps, [PACKED_ROWS, inputs])
    return Int8Weight(packed, scales, torch.zeros(outputs, dtype=torch.int64))

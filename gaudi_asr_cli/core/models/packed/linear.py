"""Matrix products with prepacked weights, their activation or residual fused into them.

oneDNN keeps a weight in the order in which its kernels read it and applies GELU or an addition
while a result is still in a register; torch's own `linear` does neither, and in fp32 goes through
MKL, which is slow on AMD. The operators are those that torch.compile puts into its CPU graphs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

USUAL_ROWS = 512
"""Rows that a weight is packed for; other numbers work, and as fast."""
INT8_LARGEST = 126
"""Largest quantised magnitude. Not 127: the row's scale is rounded to bf16 and may come out small,
and 128 would wrap around."""
INT8_ZERO = 128
"""Activations are sent as unsigned bytes around this: for signed ones oneDNN falls back to a
reference kernel four thousand times slower."""
SMALLEST_SCALE = 1e-6


class Linear(Protocol):
    """A matrix product of rows (F, I) with a weight (O, I), and its bias: rows (F, O)."""

    def __call__(self, rows: Tensor) -> Tensor:
        """The plain product (F, O)."""

    def gelu(self, rows: Tensor) -> Tensor:
        """The product through a GELU."""

    def add(self, rows: Tensor, residual: Tensor) -> Tensor:
        """The product with a residual (F, O) added."""


LinearMaker = Callable[["Tensor", "Tensor | None"], Linear]
"""Makes a `Linear` of a weight (O, I) and a bias (O,), both of any dtype."""


@dataclass(frozen=True, slots=True)
class PlainLinear:
    """See `Linear`; through torch's own operators, for builds without oneDNN."""

    weight: Tensor
    bias: Tensor | None

    def __call__(self, rows: Tensor) -> Tensor:
        return functional.linear(rows, self.weight, self.bias)

    def gelu(self, rows: Tensor) -> Tensor:
        return functional.gelu(functional.linear(rows, self.weight, self.bias))

    def add(self, rows: Tensor, residual: Tensor) -> Tensor:
        return functional.linear(rows, self.weight, self.bias).add_(residual)


@dataclass(frozen=True, slots=True)
class FusedLinear:
    """See `Linear`; through oneDNN. The weight may be packed, or (O, I) as it is."""

    weight: Tensor
    bias: Tensor | None

    def __call__(self, rows: Tensor) -> Tensor:
        out: Tensor = torch.ops.mkldnn._linear_pointwise(
            rows, self.weight, self.bias, "none", [], ""
        )
        return out

    def gelu(self, rows: Tensor) -> Tensor:
        out: Tensor = torch.ops.mkldnn._linear_pointwise(
            rows, self.weight, self.bias, "gelu", [], "none"
        )
        return out

    def add(self, rows: Tensor, residual: Tensor) -> Tensor:
        out: Tensor = torch.ops.mkldnn._linear_pointwise.binary(
            rows, residual, self.weight, self.bias, "add"
        )
        return out


@dataclass(frozen=True, slots=True)
class Int8Linear:
    """See `Linear`; one scale for each row of the activations and for each row of the weight.

    Rows are quantised as they come (dynamically): nothing needs to be calibrated. `weight` is
    packed for oneDNN; `weight_scales` is float32 (O,).
    """

    weight: Tensor
    weight_scales: Tensor
    weight_zeros: Tensor
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
        product: Tensor = torch.ops.onednn.qlinear_pointwise(
            quantised,
            1.0,
            INT8_ZERO,
            self.weight,
            self.weight_scales,
            self.weight_zeros,
            None,
            1.0,
            0,
            rows.dtype,
            "none",
            [],
            "",
        )
        return product, scales


def quantise_rows(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Rows (F, I) as unsigned bytes around `INT8_ZERO`, and their scales (F, 1) in the rows' dtype.

    The scale is rounded first and then divided by, so its rounding is no error. The division is in
    float32: bf16's would round a second time.
    """
    exact = rows.float()
    scales = exact.abs().amax(1, keepdim=True).div_(INT8_LARGEST)
    scales = scales.clamp_(min=SMALLEST_SCALE).to(rows.dtype)
    signed = exact.div(scales.float()).round_().to(torch.int8)
    # torch makes signed bytes of floats ten times faster than unsigned ones; flipping the top bit
    # of a signed byte adds 128.
    return signed.view(torch.uint8).bitwise_xor_(INT8_ZERO), scales


def linear_maker(dtype: torch.dtype) -> LinearMaker:
    """Makes linears that compute in `dtype`, through oneDNN where this torch can."""
    return _fuse_in(dtype) if can_fuse(dtype) else _plain_in(dtype)


def int8_linear_maker(dtype: torch.dtype) -> LinearMaker:
    """Makes linears that multiply 8-bit integers and take and give rows in `dtype`."""

    def make(weight: Tensor, bias: Tensor | None) -> Linear:
        scales = weight.float().abs().amax(1).clamp(min=1e-8) / 127
        quantised = (weight.float() / scales[:, None]).round().clamp(-127, 127).to(torch.int8)
        outputs, inputs = quantised.shape
        return Int8Linear(
            weight=torch.ops.onednn.qlinear_prepack(quantised, [USUAL_ROWS, inputs]),
            weight_scales=scales,
            weight_zeros=torch.zeros(outputs, dtype=torch.int64),
            bias=torch.zeros(outputs, dtype=dtype) if bias is None else bias.to(dtype),
        )

    return make


def can_fuse(dtype: torch.dtype) -> bool:
    """Whether this build of torch on this processor has oneDNN's fused operators for `dtype`."""
    if not torch._C._has_mkldnn:
        return False
    if not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    return dtype == torch.float32 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def can_quantise() -> bool:
    """Whether this build of torch has oneDNN's product of 8-bit integers."""
    return can_fuse(torch.float32) and hasattr(torch.ops.onednn, "qlinear_pointwise")


def unpacked_linear(weight: Tensor, bias: Tensor | None) -> Linear:
    """A linear whose weight is used a few times only, so that packing would not pay."""
    if can_fuse(weight.dtype):
        return FusedLinear(weight, bias)
    return PlainLinear(weight, bias)


def _fuse_in(dtype: torch.dtype) -> LinearMaker:
    def make(weight: Tensor, bias: Tensor | None) -> Linear:
        packed = torch.ops.mkldnn._reorder_linear_weight(weight.to(dtype).contiguous(), USUAL_ROWS)
        return FusedLinear(packed, cast(bias, dtype))

    return make


def _plain_in(dtype: torch.dtype) -> LinearMaker:
    def make(weight: Tensor, bias: Tensor | None) -> Linear:
        return PlainLinear(weight.to(dtype).contiguous(), cast(bias, dtype))

    return make


def cast(bias: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """A copy of the bias in `dtype`, if there is one."""
    return None if bias is None else bias.to(dtype).contiguous()

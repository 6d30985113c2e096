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


def linear_maker(dtype: torch.dtype) -> LinearMaker:
    """Makes linears that compute in `dtype`, through oneDNN where this torch can."""
    return _fuse_in(dtype) if can_fuse(dtype) else _plain_in(dtype)


def can_fuse(dtype: torch.dtype) -> bool:
    """Whether this build of torch on this processor has oneDNN's fused operators for `dtype`."""
    if not torch._C._has_mkldnn:
        return False
    if not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    return dtype == torch.float32 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


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

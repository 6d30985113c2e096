"""Matrix products with prepacked weights and a fused activation or residual.

oneDNN stores a weight in the order in which its kernels read it and applies GELU or an addition
while a result is still in a register (AVX-512); torch's own `linear` does neither, and in fp32
calls MKL, which is slow on AMD. The operators are those of torch.compile's CPU graphs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch.nn import functional

from gaudi_asr_cli.core.models.weights import NetworkWeights

if TYPE_CHECKING:
    from torch import Tensor

PACKED_ROWS = 512
"""Number of rows that a weight is packed for; other numbers work just as fast."""


class Linear(Protocol):
    """A linear layer: rows (F, I) times a weight (O, I), plus a bias, to rows (F, O)."""

    def __call__(self, rows: Tensor) -> Tensor:
        """Return the product (F, O)."""

    def gelu(self, rows: Tensor) -> Tensor:
        """Return GELU of the product."""

    def add(self, rows: Tensor, residual: Tensor) -> Tensor:
        """Return the product plus a residual (F, O)."""


LinearMaker = Callable[["Tensor", "Tensor | None"], Linear]
"""Builds a `Linear` from a weight (O, I) and a bias (O,), both of any dtype."""


@dataclass(frozen=True, slots=True)
class PlainLinear:
    """A `Linear` that uses torch's own operators, for builds without oneDNN."""

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
    """A `Linear` that uses oneDNN. The weight is prepacked or plain (O, I)."""

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
class UnfusedLinear:
    """A `Linear` with a weight that is prepacked for oneDNN, which adds and activates afterwards.

    Without AVX-512, oneDNN takes a quarter longer for a product with GELU and a tenth longer for
    one with a residual, torch a twentieth for either after the product.
    """

    product: FusedLinear

    def __call__(self, rows: Tensor) -> Tensor:
        return self.product(rows)

    def gelu(self, rows: Tensor) -> Tensor:
        out: Tensor = torch.ops.aten.gelu_(self.product(rows))
        return out

    def add(self, rows: Tensor, residual: Tensor) -> Tensor:
        return self.product(rows).add_(residual)


def linear_maker(dtype: torch.dtype) -> LinearMaker:
    """Return a builder of linears that compute in `dtype`, with oneDNN where supported."""
    return _fuse_in(dtype) if can_fuse(dtype) else _plain_in(dtype)


def can_fuse(dtype: torch.dtype) -> bool:
    """Return whether torch on this processor has oneDNN's fused operators for `dtype`."""
    if not torch._C._has_mkldnn:
        return False
    if not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    return dtype == torch.float32 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def prefers_fused() -> bool:
    """Return whether oneDNN applies GELU and residuals faster than torch on this processor."""
    return "AVX2" not in torch.backends.cpu.get_cpu_capability()


def unpacked_linear(weight: Tensor, bias: Tensor | None) -> Linear:
    """Return a linear without a prepacked weight, for weights that are used only a few times."""
    if can_fuse(weight.dtype):
        return FusedLinear(weight, bias)
    return PlainLinear(weight, bias)


def _fuse_in(dtype: torch.dtype) -> LinearMaker:
    fused = prefers_fused()

    def make(weight: Tensor, bias: Tensor | None) -> Linear:
        packed = torch.ops.mkldnn._reorder_linear_weight(weight.to(dtype).contiguous(), PACKED_ROWS)
        product = FusedLinear(packed, cast(bias, dtype))
        return product if fused else UnfusedLinear(product)

    return make


def _plain_in(dtype: torch.dtype) -> LinearMaker:
    def make(weight: Tensor, bias: Tensor | None) -> Linear:
        return PlainLinear(weight.to(dtype).contiguous(), cast(bias, dtype))

    return make


def cast(bias: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """Return a copy of the bias in `dtype`, or None if there is no bias."""
    return None if bias is None else bias.to(dtype).contiguous()


def pack_linear(weights: NetworkWeights, make: LinearMaker) -> Linear:
    """Pack the weights of a linear with `make`."""
    bias = weights.get("bias")
    return make(weights["weight"].detach(), None if bias is None else bias.detach())


FramesPacker = Callable[["Tensor"], tuple[Linear, Linear]]
"""Packs frames (F, D) that several layers attend to, as two linears without bias: from rows (R, D)
to their products with the frames, and from rows (R, F) to their sums of frames."""


def pack_frames(frames: Tensor, make: LinearMaker) -> tuple[Linear, Linear]:
    """Pack frames with `make`: see `FramesPacker`."""
    return make(frames, None), make(frames.T, None)

"""Products of 16-bit integers: nearly twice as fast as float32, four times as exact as bf16.

Activations are rounded to 14 bits with a scale per row and group of inputs, weights to 13 with a
scale per output. Their products are summed exactly, in 32 bits, over a group; groups are
summed in float32. No calibration is needed, and a row depends on no other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from gaudi_asr_cli.core.models.cpu.linear import Linear, LinearMaker, linear_maker
from gaudi_asr_cli.core.models.geometry import Convolution

if TYPE_CHECKING:
    from torch import Tensor

    from gaudi_asr_cli.core.models.cpu.int16_kernel import Kernel

INPUTS_AT_ONCE = 16
"""Inputs of a group are a multiple of this, the lanes of AVX-512."""
FRAMES_PER_GROUP = 128
"""Frames of cross-attention that share a scale of their probabilities."""
NO_SCORE = -1e30
FRAME = Convolution(kernel=1, stride=1)
"""The windows of a linear."""


@dataclass(frozen=True, slots=True)
class Int16Product:
    """A `Linear`, or a `WindowProduct`: float32 rows (N, I), seen through windows, times a weight.

    `steps` int16 (groups, tiles, group / 2, columns, 2) is the weight in the order in which the
    kernel reads it, filled up to whole tiles of columns with zeros, as are `scales` and `bias`,
    float32 (tiles x columns,).

    Raises:
        ValueError: The rows are not as wide as the weight.
    """

    kernel: Kernel
    steps: Tensor
    scales: Tensor
    bias: Tensor
    outputs: int
    windows: Convolution

    def __call__(self, rows: Tensor) -> Tensor:
        return self._multiply(rows, self.bias, 0)[:, : self.outputs]

    def gelu(self, rows: Tensor) -> Tensor:
        # Of whole tiles: in parts of a tile its last bits would depend on the number of threads.
        product: Tensor = torch.ops.aten.gelu_(self._multiply(rows, self.bias, 0))
        return product[:, : self.outputs]

    def add(self, rows: Tensor, residual: Tensor) -> Tensor:
        missing = len(self.bias) - self.outputs
        base = functional.pad(residual, (0, missing)) if missing else residual
        # A row for each row of the product, as the kernel reads them.
        base = (base.float() + self.bias).expand(self.windows.count_outputs(len(rows)), -1)
        return self._multiply(rows, base.contiguous(), len(self.bias))[:, : self.outputs]

    def _multiply(self, rows: Tensor, base: Tensor, base_stride: int) -> Tensor:
        """Return the product of whole tiles plus `base`, whose rows are so many values apart."""
        rows = rows.float().contiguous()
        count, inputs = rows.shape
        groups, tiles, pairs, columns, _ = self.steps.shape
        if self.windows.kernel * inputs != groups * 2 * pairs:
            raise ValueError(f"rows of {inputs} inputs, where the weight has others")
        groups_of_row = inputs // (2 * pairs)
        steps = torch.empty(count, inputs, dtype=torch.int16)
        scales = torch.empty(count, groups_of_row)
        self.kernel.quantise(
            (
                rows.data_ptr(), count, groups_of_row, 2 * pairs,
                steps.data_ptr(), scales.data_ptr(),
            )
        )  # fmt: skip
        windows = self.windows.count_outputs(count)
        out = torch.empty(windows, tiles * columns)
        self.kernel.multiply(
            (
                steps.data_ptr(), self.windows.stride * inputs, windows,
                self.steps.data_ptr(), groups, pairs, tiles,
                scales.data_ptr(), self.windows.stride * groups_of_row, self.scales.data_ptr(),
                base.data_ptr(), base_stride, out.data_ptr(), tiles * columns,
            )
        )  # fmt: skip
        return out


@dataclass(frozen=True, slots=True)
class Int16Attention:
    """Self-attention whose two products are of 16-bit integers."""

    kernel: Kernel

    def fits(self, size: int) -> bool:
        """Return whether the kernel has heads of this width."""
        from gaudi_asr_cli.core.models.cpu.int16_packing import LARGEST_GROUP

        return size % self.kernel.columns == 0 and size <= LARGEST_GROUP

    def __call__(self, qkv: Tensor, out: Tensor) -> None:
        """Write the context to `out` (H, F, S), which is (F, H, S) in memory.

        `qkv` float32 (F, 3, H, S), contiguous, has queries that are already scaled.

        Raises:
            ValueError: A tensor has another dtype, shape or layout, or heads do not fit.
        """
        from gaudi_asr_cli.core.models.cpu.int16_attention import attend_int16

        context = out.transpose(0, 1)
        if not context.is_contiguous() or not qkv.is_contiguous():
            raise ValueError("queries, keys and values, and context are contiguous")
        if qkv.dtype != torch.float32 or out.dtype != torch.float32:
            raise ValueError("queries, keys and values, and context are float32")
        count, heads, size = context.shape
        if qkv.shape != (count, 3, heads, size) or not self.fits(size):
            raise ValueError(f"{heads} heads of {size} values, where the kernel has others")
        attend_int16(self.kernel.attend, self.kernel.columns, qkv, context)


def open_int16_attention() -> Int16Attention:
    """Compile the kernel where that is not done yet."""
    return Int16Attention(open_kernel())


def open_kernel() -> Kernel:
    """Return the kernel for this processor, compiled if it is not yet."""
    from gaudi_asr_cli.core.models.cpu.int16_kernel import compile_kernel
    from gaudi_asr_cli.core.models.cpu.llvm_code import AVX2, AVX512

    capability = torch.backends.cpu.get_cpu_capability()
    return compile_kernel(AVX2 if capability == "AVX2" else AVX512)


def int16_linear_maker() -> LinearMaker:
    """Return a builder of linears; those whose sizes the kernel does not have are in float32."""
    exact = linear_maker(torch.float32)

    def make(weight: Tensor, bias: Tensor | None) -> Linear:
        return pack_int16(weight, bias) or exact(weight, bias)

    return make


def pack_int16(
    weight: Tensor, bias: Tensor | None, windows: Convolution = FRAME
) -> Int16Product | None:
    """Quantise a weight (O, kernel x I) and pack it, or return None if its sizes do not fit."""
    kernel = open_kernel()
    outputs, inputs = weight.shape
    group = _group_of(inputs // windows.kernel)
    if not group:
        return None
    weight = weight.detach()
    size = (inputs // group, group, -(-outputs // kernel.columns))
    steps, scales = _pack(kernel, weight, size)
    filled = torch.zeros(len(scales))
    if bias is not None:
        filled[:outputs] = bias.detach()
    return Int16Product(kernel, steps, scales, filled, outputs, windows)


def pack_int16_frames(frames: Tensor) -> tuple[Int16Product, Int16Product] | None:
    """Pack frames float32 (F, D) for cross-attention, or return None if D does not fit.

    See `EncodedWindow`: frames are filled up to groups of `FRAMES_PER_GROUP`, and those have scores
    so small that their probability is zero.
    """
    kernel = open_kernel()
    count, width = frames.shape
    group = _group_of(width)
    if not group or width % kernel.columns:
        return None
    groups = -(-count // FRAMES_PER_GROUP)
    filled = groups * FRAMES_PER_GROUP
    bias = torch.zeros(filled)
    bias[count:] = NO_SCORE
    steps, scales = _pack(kernel, frames, (width // group, group, filled // kernel.columns))
    scores = Int16Product(kernel, steps, scales, bias, filled, FRAME)
    size = (groups, FRAMES_PER_GROUP, width // kernel.columns)
    steps, scales = _pack(kernel, frames, size, transposed=True)
    return scores, Int16Product(kernel, steps, scales, torch.zeros(width), width, FRAME)


def _pack(
    kernel: Kernel, weight: Tensor, size: tuple[int, int, int], *, transposed: bool = False
) -> tuple[Tensor, Tensor]:
    """Return steps and scales of a weight (O, I), or `transposed` (I, O).

    `size` is the number of groups, inputs of a group, and tiles; what they hold beyond the weight
    is zero.
    """
    weight, (groups, group, tiles) = weight.float().contiguous(), size
    steps = torch.empty(groups, tiles, group // 2, kernel.columns, 2, dtype=torch.int16)
    scales = torch.empty(tiles * kernel.columns)
    pack = kernel.pack_transposed if transposed else kernel.pack
    pack(
        (
            weight.data_ptr(), weight.shape[1], *weight.shape, groups, group, tiles,
            steps.data_ptr(), scales.data_ptr(),
        )
    )  # fmt: skip
    return steps, scales


def _group_of(inputs: int) -> int:
    """Return the largest group that divides the inputs, 0 if there is none."""
    from gaudi_asr_cli.core.models.cpu.int16_packing import LARGEST_GROUP

    sizes = range(INPUTS_AT_ONCE, LARGEST_GROUP + 1, INPUTS_AT_ONCE)
    return max((size for size in sizes if inputs % size == 0), default=0)

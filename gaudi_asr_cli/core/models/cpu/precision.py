"""How the products of a packed network are computed: in floating point or in integers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch

from gaudi_asr_cli.core.devices.base import INT16, torch_dtype
from gaudi_asr_cli.core.devices.int16 import can_multiply_int16, find_int16_obstacle
from gaudi_asr_cli.core.errors import MachineError
from gaudi_asr_cli.core.models.cpu.convolution import WindowMaker, WindowProduct, window_maker
from gaudi_asr_cli.core.models.cpu.int8 import can_quantise, int8_linear_maker, saturates
from gaudi_asr_cli.core.models.cpu.int16 import (
    Int16Attention,
    int16_linear_maker,
    open_int16_attention,
    pack_int16,
    pack_int16_frames,
)
from gaudi_asr_cli.core.models.cpu.linear import (
    FramesPacker,
    LinearMaker,
    linear_maker,
    pack_frames,
)
from gaudi_asr_cli.core.models.geometry import Convolution

INT8 = "int8"


@dataclass(frozen=True, slots=True)
class PackedPrecision:
    """How a packed network computes.

    Args:
        name: `fp32`, `bf16`, `fp16`, `int16` or `int8`.
        dtype: Dtype of all but products of integers.
        linear: Builds the linears of the layers.
        after_gelu: Builds those whose input is that of a GELU.
        window: Builds the convolutions of the feature encoder, but the first.
        pack_frames: Packs frames for cross-attention.
        attention: Self-attention in integers.
    """

    name: str
    dtype: torch.dtype
    linear: LinearMaker
    after_gelu: LinearMaker
    window: WindowMaker
    pack_frames: FramesPacker
    attention: Int16Attention | None = None


def open_precision(name: str) -> PackedPrecision:
    """Return the precision of this name.

    Raises:
        MachineError: This processor, or this build of torch, does not multiply such integers.
    """
    return _INTEGERS[name]() if name in _INTEGERS else _floating(name)


def choose_precision(requested: str, dtype: str) -> str:
    """Return the name of the precision for the `--dtype` of a user and the dtype of a model.

    `auto` is `int16` where the model would compute in fp32 and the processor can: nearly twice as
    fast, and more exact than bf16.
    """
    if requested == "auto" and dtype == "fp32" and can_multiply_int16():
        return INT16
    return dtype if requested == "auto" else requested


def _floating(name: str) -> PackedPrecision:
    dtype = torch_dtype(name)
    linear = linear_maker(dtype)
    return PackedPrecision(
        name, dtype, linear, linear, window_maker(dtype), partial(pack_frames, make=linear)
    )


def _open_int16() -> PackedPrecision:
    if not can_multiply_int16():
        raise MachineError(
            f"There are no products in int16 here: {find_int16_obstacle()}.",
            remedy="Pass --dtype auto or fp32, or, on x86-64 with AVX2: pip install llvmlite (with "
            "--force-reinstall if it is broken)",
        )
    return _with_integers(INT16, int16_linear_maker(), int16_linear_maker())


def _open_int8() -> PackedPrecision:
    """Return linears in 8 bits, and the rest in 16, for which convolutions are too sensitive.

    Without VNNI 8 bits are no faster than 16, and sums saturate: linears have 16 there.
    """
    if can_quantise() and not saturates():
        return _with_integers(INT8, int8_linear_maker(), int8_linear_maker(after_gelu=True))
    if can_multiply_int16():
        return _with_integers(INT8, int16_linear_maker(), int16_linear_maker())
    raise MachineError(
        f"Nothing here multiplies 8-bit integers on this processor, nor 16-bit ones: "
        f"{find_int16_obstacle()}.",
        remedy="Leave int8 out, or, on x86-64 with AVX2: pip install llvmlite (with "
        "--force-reinstall if it is broken)",
    )


def _with_integers(name: str, linear: LinearMaker, after_gelu: LinearMaker) -> PackedPrecision:
    """Return a precision with these linears, and the rest in int16 where that can be, or fp32."""
    exact = replace(_floating("fp32"), name=name, linear=linear, after_gelu=after_gelu)
    if not can_multiply_int16():
        return exact
    return replace(
        exact,
        window=_int16_window_maker(exact.window),
        pack_frames=lambda frames: pack_int16_frames(frames) or exact.pack_frames(frames),
        attention=open_int16_attention(),
    )


def _int16_window_maker(exact: WindowMaker) -> WindowMaker:
    def make(weight: torch.Tensor, bias: torch.Tensor | None, shape: Convolution) -> WindowProduct:
        return pack_int16(weight, bias, shape) or exact(weight, bias, shape)

    return make


_INTEGERS: dict[str, Callable[[], PackedPrecision]] = {INT16: _open_int16, INT8: _open_int8}

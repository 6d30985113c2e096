"""Intel AMX (bf16 matrix tiles) and the grouped convolutions that torch computes wrongly on it.

A grouped bf16 convolution with an even number of channels per group, 2 to 14, and a kernel of 8 or
more gives wrong results in the forward and backward pass without an error (torch 2.13 on a Xeon:
relative error 1.0 to 1.2). Positional convolutions of small models are such convolutions. They are
computed in fp32 here (`convolutions`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

CORRECT_FROM_CHANNELS = 16
"""Channels per group from which on the results are correct."""


def has_amx() -> bool:
    """Return whether this CPU has AMX, which multiplies bf16 about eight times as fast as fp32."""
    import torch

    is_supported = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return is_supported is not None and bool(is_supported())


def has_small_groups(convolution: torch.nn.Conv1d) -> bool:
    """Return whether a convolution may be computed wrongly; depthwise ones are correct."""
    return are_small_groups(convolution.in_channels, convolution.groups)


def are_small_groups(channels: int, groups: int) -> bool:
    """Return whether a convolution with so many input channels may be computed wrongly."""
    return groups > 1 and 1 < channels // groups < CORRECT_FROM_CHANNELS

"""Processors that multiply bf16 in tiles (Intel AMX), and what torch gets wrong on them.

A grouped convolution in bf16 with an even number of channels in a group, 2 to 14, and a kernel of 8
or more gives numbers that have nothing to do with the right ones, forward and backward, and nothing
says so (torch 2.13 on a Xeon: relative error 1.0 to 1.2). Positional convolutions of small models
are such. They are computed in fp32 here (`convolutions`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

FEWEST_RIGHT = 16
"""Channels in a group from which on the results are right."""


def has_amx() -> bool:
    """Whether this processor multiplies bf16 in tiles, about eight times as fast as fp32."""
    import torch

    known = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return known is not None and bool(known())


def has_small_groups(convolution: torch.nn.Conv1d) -> bool:
    """Whether a convolution may be computed wrongly; depthwise ones are right."""
    in_group = convolution.in_channels // convolution.groups
    return convolution.groups > 1 and 1 < in_group < FEWEST_RIGHT

"""Convolutions of small networks, computed on a CPU in other ways than torch's.

oneDNN makes a program for every length that a convolution meets. For the wide first filters of a
small network that takes thirty times as long as the step itself (190 ms against 6), and batches
nearly always have a new length. Its groups of a few channels are slow (5 GF/s), and with AMX wrong
in bf16. Windows of samples times the weights, and a product of spectra, have neither trouble.

Weights, names and files stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from gaudi_asr_cli.core.devices.amx import has_small_groups

if TYPE_CHECKING:
    import torch

WIDE_SAMPLES = 32
"""Filters from this width on are multiplied with windows; narrower ones have too many windows."""

LONG_FRAMES = 32
"""Kernels from this length on are multiplied as spectra."""

SPECTRUM_FRAMES = 64
"""Spectra are of multiples of so many frames, of which there are quick transforms."""


def ease_convolutions(network: torch.nn.Module) -> None:
    """Have such convolutions of the network computed the quick way, gradients too."""
    import torch

    for module in network.modules():
        if isinstance(module, torch.nn.Conv1d) and (way := quick_way(module)) is not None:
            # Another class in its place would have to carry the weight norm along.
            setattr(module, "forward", partial(way, module))  # noqa: B010 - a method


def quick_way(
    convolution: torch.nn.Conv1d,
) -> Callable[[torch.nn.Conv1d, torch.Tensor], torch.Tensor] | None:
    """How it is computed here; None where torch's way is the best there is."""
    kernel = convolution.kernel_size[0]
    padded_by_number = convolution.padding_mode == "zeros" and convolution.padding != "same"
    plain = padded_by_number and convolution.dilation == (1,)
    takes_samples = convolution.in_channels == 1 and convolution.padding == (0,)
    if plain and takes_samples and kernel >= WIDE_SAMPLES:
        return convolve_windows
    if not has_small_groups(convolution):
        return None
    slides = plain and convolution.stride == (1,)
    return convolve_spectra if slides and kernel >= LONG_FRAMES else convolve_in_fp32


def convolve_windows(module: torch.nn.Conv1d, samples: torch.Tensor) -> torch.Tensor:
    """The convolution of samples (B, 1, T) as one matrix product, to (B, C, F)."""
    from torch.nn import functional

    windows = samples[:, 0].unfold(-1, module.kernel_size[0], module.stride[0])
    return functional.linear(windows, module.weight[:, 0], module.bias).transpose(1, 2)


def convolve_in_fp32(module: torch.nn.Conv1d, frames: torch.Tensor) -> torch.Tensor:
    """The convolution as torch computes it rightly everywhere."""
    import torch

    bias = None if module.bias is None else module.bias.float()
    with torch.autocast("cpu", enabled=False):
        found: torch.Tensor = module._conv_forward(frames.float(), module.weight.float(), bias)
    return found.to(frames.dtype)


def convolve_spectra(module: torch.nn.Conv1d, frames: torch.Tensor) -> torch.Tensor:
    """The grouped convolution of frames (B, C, F) by way of their spectra, in fp32."""
    import torch

    channels, count = frames.shape[1:]
    groups, kernel, margin = module.groups, module.kernel_size[0], int(module.padding[0])
    # What wraps around falls beyond what is kept.
    size = -(-(count + max(kernel, 2 * margin)) // SPECTRUM_FRAMES) * SPECTRUM_FRAMES
    with torch.autocast("cpu", enabled=False):
        weight = module.weight.float()
        heard = torch.fft.rfft(frames.float(), n=size).unflatten(1, (groups, channels // groups))
        filters = torch.fft.rfft(weight, n=size).conj().unflatten(0, (groups, -1))
        product = torch.einsum("bgcf,gocf->bgof", heard, filters).flatten(1, 2)
        shifted = torch.fft.irfft(product, n=size).roll(margin, dims=-1)
        found: torch.Tensor = shifted[..., : count + 2 * margin - kernel + 1]
        if module.bias is not None:
            found = found + module.bias.float()[:, None]
    return found.to(frames.dtype)

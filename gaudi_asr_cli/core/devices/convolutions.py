"""Faster CPU implementations of convolutions of small networks.

oneDNN compiles a kernel for every input length. For the wide first filters of a small network that
takes thirty times as long as the step itself (190 ms against 6), and nearly every batch has a new
length. Its grouped convolutions with few channels per group are slow (5 GF/s), and wrong in bf16
with AMX. A matrix product of windows, and a product of spectra, have neither problem.

Weights, parameter names and files do not change.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from gaudi_asr_cli.core.devices.amx import has_small_groups

if TYPE_CHECKING:
    import torch

WIDE_SAMPLES = 32
"""Minimum kernel size of the matrix product; smaller kernels have too many windows."""

LONG_FRAMES = 32
"""Minimum kernel size of the product of spectra."""

SPECTRUM_FRAMES = 64
"""FFT lengths are multiples of this, for which FFTs are fast."""


def use_fast_convolutions(network: torch.nn.Module) -> None:
    """Replace the forward of such convolutions of the network; gradients are supported."""
    import torch

    for module in network.modules():
        if (
            isinstance(module, torch.nn.Conv1d)
            and (forward := fast_convolution(module)) is not None
        ):
            # A replacement module would have to copy the weight norm.
            setattr(module, "forward", partial(forward, module))  # noqa: B010 - a method


def fast_convolution(
    convolution: torch.nn.Conv1d,
) -> Callable[[torch.nn.Conv1d, torch.Tensor], torch.Tensor] | None:
    """Return the function that computes it here; None where torch's own is best."""
    kernel = convolution.kernel_size[0]
    zero_padded = convolution.padding_mode == "zeros" and convolution.padding != "same"
    plain = zero_padded and convolution.dilation == (1,)
    takes_samples = convolution.in_channels == 1 and convolution.padding == (0,)
    if plain and takes_samples and kernel >= WIDE_SAMPLES:
        return convolve_windows
    if not has_small_groups(convolution):
        return None
    unit_stride = plain and convolution.stride == (1,)
    return convolve_spectra if unit_stride and kernel >= LONG_FRAMES else convolve_in_fp32


def convolve_windows(module: torch.nn.Conv1d, samples: torch.Tensor) -> torch.Tensor:
    """Convolve samples (B, 1, T) to (B, C, F) as one matrix product."""
    from torch.nn import functional

    windows = samples[:, 0].unfold(-1, module.kernel_size[0], module.stride[0])  # (B, F, K)
    return functional.linear(windows, module.weight[:, 0], module.bias).transpose(1, 2)


def convolve_in_fp32(module: torch.nn.Conv1d, frames: torch.Tensor) -> torch.Tensor:
    """Convolve with torch in fp32, which is correct on every CPU."""
    import torch

    bias = None if module.bias is None else module.bias.float()
    with torch.autocast("cpu", enabled=False):
        output: torch.Tensor = module._conv_forward(frames.float(), module.weight.float(), bias)
    return output.to(frames.dtype)


def convolve_spectra(module: torch.nn.Conv1d, frames: torch.Tensor) -> torch.Tensor:
    """Convolve frames (B, C, F) in groups as a product of their spectra, in fp32."""
    import torch

    channels, count = frames.shape[1:]
    groups, kernel, margin = module.groups, module.kernel_size[0], int(module.padding[0])
    # The circular wrap-around falls outside the frames that are kept.
    size = -(-(count + max(kernel, 2 * margin)) // SPECTRUM_FRAMES) * SPECTRUM_FRAMES
    with torch.autocast("cpu", enabled=False):
        weight = module.weight.float()
        # (B, G, C / G, S) and (G, O, C / G, S), S frequencies
        spectra = torch.fft.rfft(frames.float(), n=size).unflatten(1, (groups, channels // groups))
        filters = torch.fft.rfft(weight, n=size).conj().unflatten(0, (groups, -1))
        product = torch.einsum("bgcf,gocf->bgof", spectra, filters).flatten(1, 2)
        shifted = torch.fft.irfft(product, n=size).roll(margin, dims=-1)
        output: torch.Tensor = shifted[..., : count + 2 * margin - kernel + 1]
        if module.bias is not None:
            output = output + module.bias.float()[:, None]
    return output.to(frames.dtype)

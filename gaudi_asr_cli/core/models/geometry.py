"""Frame counts of a network for a number of samples, computed from its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.models.families import family_of
from gaudi_asr_cli.core.models.frames import Convolution, FrameGeometry

__all__ = [
    "Convolution",
    "FrameGeometry",
    "adapter_layers",
    "convolutional_geometry",
    "geometry_from_config",
]


def geometry_from_config(config: Mapping[str, Any]) -> FrameGeometry:
    """Return the geometry of a configuration (`config.json`) of any family.

    Raises:
        DataError: The family has none, or its configuration has no convolutions.
    """
    family = family_of(config)
    if family is None:
        return convolutional_geometry(config)
    if family.geometry is None:
        raise _unknown_rate(config)
    return family.geometry(config)


def convolutional_geometry(config: Mapping[str, Any]) -> FrameGeometry:
    """Return the geometry of wav2vec 2.0-like convolutions over samples.

    Raises:
        DataError: The configuration has no convolutions.
    """
    kernels, strides = config.get("conv_kernel"), config.get("conv_stride")
    if not kernels or not strides or len(kernels) != len(strides):
        raise _unknown_rate(config)
    front = [Convolution(int(k), int(s)) for k, s in zip(kernels, strides, strict=True)]
    return FrameGeometry(
        layers=(*front, *adapter_layers(config)),
        minimum_frames=int(config.get("squeeze_factor") or 1),
    )


def adapter_layers(config: Mapping[str, Any]) -> tuple[Convolution, ...]:
    """Return the convolutions of an adapter after the encoder."""
    if not config.get("add_adapter"):
        return ()
    kernel = int(config.get("adapter_kernel_size", 3))
    stride = int(config.get("adapter_stride", 2))
    # wav2vec2-BERT pads its adapters by half the stride, all others by one.
    padding = stride // 2 if config.get("model_type") == "wav2vec2-bert" else 1
    return (Convolution(kernel, stride, padding),) * int(config.get("num_adapter_layers", 3))


def _unknown_rate(config: Mapping[str, Any]) -> DataError:
    return DataError(
        f"The frame rate of a model of type '{config.get('model_type')}' is unknown (no "
        "conv_kernel and conv_stride in its config.json).",
        remedy="Choose a CTC model of a wav2vec 2.0-like family.",
    )

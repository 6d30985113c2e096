"""Frame counts of a network for a number of samples, computed from its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.models.families import family_of
from gaudi_asr_cli.core.models.frames import Convolution, FrameGeometry
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ

__all__ = [
    "Convolution",
    "FrameGeometry",
    "adapter_layers",
    "convolutional_geometry",
    "geometry_from_config",
]


def geometry_from_config(config: Mapping[str, Any], rate_hz: int = SAMPLE_RATE_HZ) -> FrameGeometry:
    """Return the geometry of a configuration (`config.json`) of any family.

    Args:
        config: The configuration.
        rate_hz: Sample rate that the network receives.

    Raises:
        DataError: The family has none, its configuration has no convolutions, or a frame is no
            whole number of samples as audio is read.
    """
    family = family_of(config)
    if family is not None and family.geometry is None:
        raise _unknown_rate(config)
    read = convolutional_geometry if family is None or family.geometry is None else family.geometry
    geometry = read(config)
    if geometry.frame_samples * SAMPLE_RATE_HZ % rate_hz:
        raise DataError(
            f"The model receives audio at {rate_hz} Hz, at which its frames are no whole number of "
            f"samples at {SAMPLE_RATE_HZ} Hz, the rate at which audio is read.",
            remedy="Choose a model for 8 or 16 kHz; the rate is sampling_rate in "
            "preprocessor_config.json.",
        )
    return replace(geometry, rate_hz=rate_hz)


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

"""Frame counts of a network for a number of samples, computed from its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ

MEL_WINDOW_SAMPLES = 400
MEL_HOP_SAMPLES = 160
MEL_STACK = 2
"""wav2vec2-BERT has no convolutions: it stacks pairs of 25 ms mel frames with a 10 ms hop."""


@dataclass(frozen=True, slots=True)
class Convolution:
    """Kernel, stride and padding of a one-dimensional convolution over time."""

    kernel: int
    stride: int
    padding: int = 0

    def count_outputs(self, inputs: int) -> int:
        """Return the output length; 0 if the kernel does not fit."""
        return max(0, (inputs + 2 * self.padding - self.kernel) // self.stride + 1)

    def count_inputs(self, outputs: int) -> int:
        """Return the shortest input that gives `outputs` outputs."""
        return (outputs - 1) * self.stride + self.kernel - 2 * self.padding


@dataclass(frozen=True, slots=True)
class FrameGeometry:
    """The layers that downsample time, starting at the samples.

    `minimum_frames` is the minimum input of the layers after them: SEW pools frames in pairs.
    """

    layers: tuple[Convolution, ...]
    minimum_frames: int = 1

    def count_frames(self, samples: int) -> int:
        """Return the number of emission frames; clips that are too short are padded first."""
        frames = max(samples, self.minimum_samples)
        for layer in self.layers:
            frames = layer.count_outputs(frames)
        return frames

    @property
    def minimum_samples(self) -> int:
        """Return the receptive field: the shortest clip that gives a frame, in samples."""
        needed = self.minimum_frames
        for layer in reversed(self.layers):
            needed = max(1, layer.count_inputs(needed))
        return needed

    @property
    def frame_samples(self) -> int:
        """Return the stride between frames, in samples."""
        product = 1
        for layer in self.layers:
            product *= layer.stride
        return product

    @property
    def frame_s(self) -> float:
        """Return the stride between frames, in seconds."""
        return self.frame_samples / SAMPLE_RATE_HZ


def geometry_from_config(config: Mapping[str, Any]) -> FrameGeometry:
    """Return the geometry of a configuration (`config.json`) of any family.

    Raises:
        DataError: The configuration has no convolutions.
    """
    return FrameGeometry(
        layers=(*_front_layers(config), *_adapter_layers(config)),
        minimum_frames=int(config.get("squeeze_factor") or 1),
    )


def _front_layers(config: Mapping[str, Any]) -> tuple[Convolution, ...]:
    if config.get("model_type") == "wav2vec2-bert":
        return (
            Convolution(MEL_WINDOW_SAMPLES, MEL_HOP_SAMPLES),
            Convolution(MEL_STACK, MEL_STACK),
        )
    kernels, strides = config.get("conv_kernel"), config.get("conv_stride")
    if not kernels or not strides or len(kernels) != len(strides):
        raise DataError(
            f"The frame rate of a model of type '{config.get('model_type')}' is unknown (no "
            "conv_kernel and conv_stride in its config.json).",
            remedy="Choose a CTC model of a wav2vec 2.0-like family.",
        )
    return tuple(Convolution(int(k), int(s)) for k, s in zip(kernels, strides, strict=True))


def _adapter_layers(config: Mapping[str, Any]) -> tuple[Convolution, ...]:
    if not config.get("add_adapter"):
        return ()
    kernel = int(config.get("adapter_kernel_size", 3))
    stride = int(config.get("adapter_stride", 2))
    # wav2vec2-BERT pads its adapters by half the stride, all others by one.
    padding = stride // 2 if config.get("model_type") == "wav2vec2-bert" else 1
    return (Convolution(kernel, stride, padding),) * int(config.get("num_adapter_layers", 3))

"""Convolutions over time, and the frames that they leave of a number of samples."""

from __future__ import annotations

from dataclasses import dataclass

from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ


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

    Audio is read at `SAMPLE_RATE_HZ`, in which samples are counted here; the layers receive it at
    `rate_hz`. `minimum_frames` is the minimum input of the layers after them: SEW pools frames in
    pairs.
    """

    layers: tuple[Convolution, ...]
    minimum_frames: int = 1
    rate_hz: int = SAMPLE_RATE_HZ

    def count_frames(self, samples: int) -> int:
        """Return the number of emission frames; clips that are too short are padded first."""
        frames = resampled_length(max(samples, self.minimum_samples), self.rate_hz)
        for layer in self.layers:
            frames = layer.count_outputs(frames)
        return frames

    @property
    def minimum_samples(self) -> int:
        """Return the receptive field: the shortest clip that gives a frame, in samples."""
        needed = self.minimum_frames
        for layer in reversed(self.layers):
            needed = max(1, layer.count_inputs(needed))
        return -(-needed * SAMPLE_RATE_HZ // self.rate_hz)

    @property
    def frame_samples(self) -> int:
        """Return the stride between frames, in samples."""
        product = 1
        for layer in self.layers:
            product *= layer.stride
        return product * SAMPLE_RATE_HZ // self.rate_hz

    @property
    def frame_s(self) -> float:
        """Return the stride between frames, in seconds."""
        return self.frame_samples / SAMPLE_RATE_HZ


def resampled_length(samples: int, rate_hz: int) -> int:
    """Return the number of samples at `rate_hz` of so many at `SAMPLE_RATE_HZ`."""
    return -(-samples * rate_hz // SAMPLE_RATE_HZ)

"""Audio augmentation for training, drawn from (seed, epoch, utterance) and never from a state.

A resumed run therefore trains on the same audio as an uninterrupted one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Which augmentations are applied, and how strongly.

    Args:
        speed: Speed perturbation by up to this fraction, faster or slower, which changes the pitch
            too (Ko et al. 2015, Audio augmentation for speech recognition); 0 turns it off.
    """

    speed: float = 0.0

    @property
    def max_length_factor(self) -> float:
        """The largest factor by which the length of a clip may grow."""
        return 1.0 / (1.0 - self.speed)

    def apply(
        self, samples: NDArray[np.float32], *, seed: int, epoch: int, index: int, min_samples: int
    ) -> NDArray[np.float32]:
        """Return the samples (T,) at 16 kHz at another speed.

        They are returned unchanged if fewer than `min_samples` would be left.
        """
        if self.speed == 0.0:
            return samples
        generator = np.random.default_rng([seed, epoch, index])
        factor = 1.0 + self.speed * generator.uniform(-1.0, 1.0)
        if len(samples) / factor < min_samples:
            return samples
        return change_speed(samples, factor)


def change_speed(samples: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    """Return the samples (T,) at `factor` times the speed, (T / factor,), pitch changed as well."""
    import soxr

    changed: NDArray[np.float32] = soxr.resample(
        samples, SAMPLE_RATE_HZ * factor, SAMPLE_RATE_HZ, quality="MQ"
    )
    return changed

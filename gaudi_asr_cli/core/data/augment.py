"""Sound changed a little for training: drawn from (seed, epoch, utterance), never from a state.

So a resumed run hears what an uninterrupted one would have heard.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ


@dataclass(frozen=True, slots=True)
class Augmentation:
    """What may change.

    Args:
        speed: Sound is played up to this share faster or slower, pitch included (Ko et al. 2015,
            Audio augmentation for speech recognition); 0: not at all.
    """

    speed: float = 0.0

    @property
    def longest(self) -> float:
        """The most that a sound's length can be multiplied by."""
        return 1.0 / (1.0 - self.speed)

    def change(
        self, samples: NDArray[np.float32], *, seed: int, epoch: int, index: int, shortest: int
    ) -> NDArray[np.float32]:
        """The sound (T,) at 16 kHz at another speed; unchanged if it would be under `shortest`."""
        if self.speed == 0.0:
            return samples
        draw = np.random.default_rng([seed, epoch, index])
        factor = 1.0 + self.speed * draw.uniform(-1.0, 1.0)
        if len(samples) / factor < shortest:
            return samples
        return play_at(samples, factor)


def play_at(samples: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    """The sound (T,) played `factor` times as fast: (T / factor,), its pitch changed as well."""
    import soxr

    changed: NDArray[np.float32] = soxr.resample(
        samples, SAMPLE_RATE_HZ * factor, SAMPLE_RATE_HZ, quality="MQ"
    )
    return changed

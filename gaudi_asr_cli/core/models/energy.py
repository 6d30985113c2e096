"""Voice activity by energy alone: speech is louder than its background, and its level changes.

It finds nothing in silence, steady noise and hum; music and a slamming door pass for speech. Used
where `silero-vad` is not installed.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import numpy as np

from gaudi_asr_cli.core.models.silero import VAD_FRAME_SAMPLES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

BACKGROUND_FRAMES = 940
"""The background is that of the last 30 s."""
BACKGROUND_PERCENTILE = 10
MARGIN_DB = 20.0
"""This far above its background a frame is speech for certain, and half of it is the border."""
SILENCE_DB = -60.0
"""Below this level, relative to full scale, there is no speech."""


class EnergyStream:
    """Probabilities of speech of audio that comes in blocks, from the level of each frame."""

    def __init__(self) -> None:
        self._levels_db: deque[float] = deque(maxlen=BACKGROUND_FRAMES)

    def __call__(self, samples: Samples) -> NDArray[np.float32]:
        """Return the probabilities (N,) of the next samples (N * 512,)."""
        frames = samples.reshape(-1, VAD_FRAME_SAMPLES)
        power = np.mean((frames - frames.mean(axis=1, keepdims=True)) ** 2, axis=1)
        levels_db = 10 * np.log10(power + 1e-12)
        self._levels_db.extend(levels_db.tolist())
        background_db = np.percentile(np.array(self._levels_db), BACKGROUND_PERCENTILE)
        shares = (levels_db - max(background_db, SILENCE_DB - MARGIN_DB / 2)) / MARGIN_DB
        clipped: NDArray[np.float32] = np.clip(shares, 0, 1).astype(np.float32)
        return clipped

"""Audio whose level is its probability of speech, and a detector that reads it so."""

import numpy as np

from gaudi_asr_cli.core.inference.vad import SpeechDetector

FRAME = 512
FRAME_S = FRAME / 16_000
LEVELS = SpeechDetector(lambda: lambda samples: samples.reshape(-1, FRAME).max(axis=1))


def leveled(*parts):
    """Return audio of parts: seconds and the probability of speech in them."""
    levels = [np.full(round(seconds / FRAME_S), level, np.float32) for seconds, level in parts]
    return np.repeat(np.concatenate(levels), FRAME)

"""Synthetic audio with the durations of read speech, for measuring speed, not accuracy.

Utterance lengths decide the cost of batches and buckets, so durations follow a model of
LibriSpeech test-clean: log-normal, 2,620 utterances, mean 7.42 s, 1.3 to 35 s. The content of
utterances has no influence on the speed of a CTC model.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gaudi_asr_cli.core.data.audio import LoadedAudio
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ, AudioSpan, Utterance

if TYPE_CHECKING:
    from numpy.typing import NDArray

TEST_CLEAN_UTTERANCES = 2_620
TEST_CLEAN_MEAN_S = 7.42
SHORTEST_S, LONGEST_S = 1.3, 35.0
LOG_MEAN, LOG_DEVIATION = 1.80, 0.62
POOL_S = 60
"""All utterances are cut from one waveform: 4 MB for any number of them."""
SYLLABLE_HZ = 4.0
FORMANTS_HZ = (500.0, 1500.0, 2500.0)


def draw_durations_s(utterances: int, seed: int) -> NDArray[np.float64]:
    """Draw durations (N,) of utterances, distributed as in LibriSpeech test-clean."""
    draw = np.random.default_rng(seed)
    drawn: NDArray[np.float64] = draw.lognormal(LOG_MEAN, LOG_DEVIATION, utterances)
    durations_s = drawn.clip(SHORTEST_S, LONGEST_S)
    # Clipping moves the mean, and scaling moves some over the limits again.
    for _ in range(20):
        scale = TEST_CLEAN_MEAN_S / durations_s.mean()
        durations_s = (durations_s * scale).clip(SHORTEST_S, LONGEST_S)
    return durations_s


def make_speech_like(seconds: float, seed: int) -> NDArray[np.float32]:
    """Make a waveform (T,): harmonics of varying pitch, three formants, syllables and noise."""
    draw = np.random.default_rng(seed)
    samples = int(seconds * SAMPLE_RATE_HZ)
    time_s = np.arange(samples) / SAMPLE_RATE_HZ
    pitch_hz = 120 + 25 * np.sin(2 * np.pi * 0.4 * time_s) + 8 * np.sin(2 * np.pi * 3.1 * time_s)
    phase = 2 * np.pi * np.cumsum(pitch_hz) / SAMPLE_RATE_HZ
    waveform = np.zeros(samples)
    for harmonic in range(1, 25):
        distances = (harmonic * 120 - np.array(FORMANTS_HZ)) / 300
        gain = np.exp(-np.square(distances)).sum() + 0.02
        waveform += gain / harmonic**0.5 * np.sin(harmonic * phase)
    syllables = np.clip(np.sin(np.pi * SYLLABLE_HZ * time_s), 0, None) ** 2
    noisy = 0.1 * waveform * syllables + 0.003 * draw.standard_normal(samples)
    return np.asarray(noisy, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class SyntheticSpeech:
    """Utterances whose audio is cut from `pool`, float32 (T,)."""

    utterances: tuple[Utterance, ...]
    pool: NDArray[np.float32]

    def load(self, span: AudioSpan) -> LoadedAudio:
        """Return the samples of an utterance, at a position in the pool given by its number."""
        samples = round((span.duration_s or 0.0) * SAMPLE_RATE_HZ)
        positions = max(1, len(self.pool) - samples)
        start = int(span.path.stem) * SAMPLE_RATE_HZ % positions
        return LoadedAudio(self.pool[start : start + samples].copy())


def make_synthetic_speech(utterances: int, seed: int) -> SyntheticSpeech:
    """Make utterances (0: as many as in test-clean) in memory, without files."""
    durations_s = draw_durations_s(utterances or TEST_CLEAN_UTTERANCES, seed)
    whole = np.round(durations_s * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    return SyntheticSpeech(
        utterances=tuple(
            Utterance(f"synthetic-{i}", AudioSpan(Path(f"synthetic/{i}"), duration_s=float(one)))
            for i, one in enumerate(whole)
        ),
        pool=make_speech_like(POOL_S, seed),
    )

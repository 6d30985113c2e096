"""Planned batches as raw sound: the one place where utterances are loaded together."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gaudi_asr_cli.core.data.audio import LoadedAudio, load_audio
from gaudi_asr_cli.core.data.measure import BrokenAudio
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ, AudioBatch, Utterance


@dataclass(frozen=True, slots=True)
class LoadedBatch:
    """What could be loaded of a batch: `kept` are positions in what was asked for.

    `broken` could not be decoded at all; `shortened` are seconds missing at the end, by id.
    """

    batch: AudioBatch
    kept: tuple[int, ...]
    broken: tuple[BrokenAudio, ...] = ()
    shortened: tuple[tuple[str, float], ...] = ()


Change = Callable[[int, NDArray[np.float32]], NDArray[np.float32]]
"""The sound of the utterance at a position of the batch (T,), changed for training."""


def load_batch(
    utterances: Sequence[Utterance], *, padded_s: float = 0.0, change: Change | None = None
) -> LoadedBatch:
    """Load utterances and pad them with zeros to the longest, or to `padded_s` if that is more.

    One that cannot be decoded costs only itself. `change` is applied to each before padding.

    Raises:
        DataError: Not one of them can be decoded; the error names the first file.
    """
    sounds: dict[int, LoadedAudio] = {}
    failures: dict[int, DataError] = {}
    for position, utterance in enumerate(utterances):
        try:
            sound = load_audio(utterance.audio)
        except DataError as error:
            failures[position] = error
        else:
            changed = sound.samples if change is None else change(position, sound.samples)
            sounds[position] = LoadedAudio(changed, sound.lost_s)
    if not sounds:
        raise next(iter(failures.values()))
    lengths = np.array([len(sound.samples) for sound in sounds.values()], dtype=np.int64)
    width = max(math.ceil(padded_s * SAMPLE_RATE_HZ - 1e-6), int(lengths.max()))
    samples = np.zeros((len(sounds), width), dtype=np.float32)
    for row, sound in zip(samples, sounds.values(), strict=True):
        row[: len(sound.samples)] = sound.samples
    return LoadedBatch(
        batch=AudioBatch(tuple(utterances[position] for position in sounds), samples, lengths),
        kept=tuple(sounds),
        broken=tuple(
            BrokenAudio(utterances[position], error.message) for position, error in failures.items()
        ),
        shortened=tuple(
            (utterances[position].id, sound.lost_s)
            for position, sound in sounds.items()
            if sound.lost_s > 0
        ),
    )

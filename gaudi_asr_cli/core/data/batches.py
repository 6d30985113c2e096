"""Load planned batches of raw audio: the one place where utterances are padded together."""

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
    """The part of a batch that could be loaded; `kept` are positions in the planned batch.

    `broken` could not be decoded at all; `shortened` are seconds missing at the end, by id;
    `notes` are sentences on what is unusual about the audio.
    """

    batch: AudioBatch
    kept: tuple[int, ...]
    broken: tuple[BrokenAudio, ...] = ()
    shortened: tuple[tuple[str, float], ...] = ()
    notes: tuple[str, ...] = ()


Augment = Callable[[int, NDArray[np.float32]], NDArray[np.float32]]
"""Position in the batch and samples (T,) -> augmented samples."""


def load_batch(
    utterances: Sequence[Utterance], *, padded_s: float = 0.0, augment: Augment | None = None
) -> LoadedBatch:
    """Load utterances and pad them with zeros to the longest, or to `padded_s` if that is more.

    An utterance that cannot be decoded is left out. `augment` is applied to each before padding.

    Raises:
        DataError: None of them can be decoded; the error names the first file.
    """
    clips: dict[int, LoadedAudio] = {}
    failures: dict[int, DataError] = {}
    for position, utterance in enumerate(utterances):
        try:
            clip = load_audio(utterance.audio)
        except DataError as error:
            failures[position] = error
        else:
            augmented = clip.samples if augment is None else augment(position, clip.samples)
            clips[position] = LoadedAudio(augmented, clip.lost_s, clip.notes)
    if not clips:
        raise next(iter(failures.values()))
    lengths = np.array([len(clip.samples) for clip in clips.values()], dtype=np.int64)  # (B,)
    width = max(math.ceil(padded_s * SAMPLE_RATE_HZ - 1e-6), int(lengths.max()))
    samples = np.zeros((len(clips), width), dtype=np.float32)  # (B, T)
    for row, clip in zip(samples, clips.values(), strict=True):
        row[: len(clip.samples)] = clip.samples
    return LoadedBatch(
        batch=AudioBatch(tuple(utterances[position] for position in clips), samples, lengths),
        kept=tuple(clips),
        broken=tuple(
            BrokenAudio(utterances[position], error.message) for position, error in failures.items()
        ),
        shortened=tuple(
            (utterances[position].id, clip.lost_s)
            for position, clip in clips.items()
            if clip.lost_s > 0
        ),
        notes=tuple(
            f"{utterances[position].audio.path}: {note}."
            for position, clip in clips.items()
            for note in clip.notes
        ),
    )

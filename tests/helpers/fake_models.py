"""Fakes of a CTC model, a decoder and an audio loader, without a network or files."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gaudi_asr_cli.core.data.audio import LoadedAudio
from gaudi_asr_cli.core.models.geometry import Convolution, FrameGeometry
from gaudi_asr_cli.core.records import (
    AudioBatch,
    AudioSpan,
    Emissions,
    Transcript,
    Utterance,
)

FRAME_SAMPLES = 320
FAKE_GEOMETRY = FrameGeometry((Convolution(FRAME_SAMPLES, FRAME_SAMPLES),))


@dataclass
class FakeModel:
    """Returns emissions (B, F, 2): a column of zeros, and each frame's mean sample."""

    geometry: FrameGeometry = FAKE_GEOMETRY
    transcribed_samples: list[int] = field(default_factory=list)
    fails_on: dict[str, BaseException] = field(default_factory=dict)

    def emissions(self, batch: AudioBatch) -> Emissions:
        for utterance in batch.utterances:
            if utterance.id in self.fails_on:
                raise self.fails_on[utterance.id]
        self.transcribed_samples.extend(batch.lengths.tolist())
        frames = self.geometry.count_frames(batch.samples.shape[1])
        padded = np.zeros((len(batch.lengths), frames * FRAME_SAMPLES), dtype=np.float32)
        width = min(padded.shape[1], batch.samples.shape[1])
        padded[:, :width] = batch.samples[:, :width]
        means = padded.reshape(len(batch.lengths), frames, FRAME_SAMPLES).mean(axis=2)
        log_probs = np.stack([np.zeros_like(means), means], axis=2)  # (B, F, 2)
        counts = [self.geometry.count_frames(int(length)) for length in batch.lengths]
        return Emissions(log_probs, np.array(counts), self.geometry.frame_s)


class FakeDecoder:
    """Decodes to the number of frames and their mean."""

    def decode(self, emissions: Emissions, index: int, utterance: Utterance) -> Transcript:
        frames = int(emissions.frames[index])
        mean = float(emissions.log_probs[index, :frames, 1].mean())
        return Transcript(utterance.id, f"{frames} frames of {mean:g}")


@dataclass
class FakeLoader:
    """Loads clips by file name: a number of constant samples, or an error that is raised."""

    clips: dict[str, int | BaseException]
    loaded: list[str] = field(default_factory=list)

    def __call__(self, span: AudioSpan) -> LoadedAudio:
        name = span.path.name
        self.loaded.append(name)
        clip = self.clips[name]
        if isinstance(clip, BaseException):
            raise clip
        return LoadedAudio(np.ones(clip, dtype=np.float32))


def name_utterances(*names: str) -> list[Utterance]:
    return [Utterance(name, AudioSpan(Path(name))) for name in names]

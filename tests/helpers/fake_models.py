"""Fakes of a CTC model, a decoder and an audio loader, without a network or files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gaudi_asr_cli.core.data.audio import LoadedAudio
from gaudi_asr_cli.core.inference.ctc import CtcRecognizer
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
    """A CTC model without a network.

    Its emissions (B, F, 2) are a column of zeros, and each frame's mean sample.
    """

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
        return self.assemble([self.condense(emissions, index)], utterance)

    def condense(self, emissions: Emissions, index: int) -> NDArray[np.float32]:
        return emissions.log_probs[index, : int(emissions.frames[index]), 1]

    def assemble(self, parts: Sequence[NDArray[np.float32]], utterance: Utterance) -> Transcript:
        means = np.concatenate(parts)
        return Transcript(utterance.id, f"{len(means)} frames of {means.mean():g}")


def fake_recognizer(model: FakeModel | None = None) -> CtcRecognizer:
    return CtcRecognizer(FakeModel() if model is None else model, FakeDecoder())


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

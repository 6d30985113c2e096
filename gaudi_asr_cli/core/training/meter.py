"""What a stretch of training steps did: sound heard, time spent loading, frames of blank."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gaudi_asr_cli.core.models.ctc import CtcModel
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ, PlannedBatch
from gaudi_asr_cli.core.training.batches import TrainingSet

if TYPE_CHECKING:
    import torch


class StepMeter:
    """Adds up from log to log; tensors stay on their device until they are read."""

    def __init__(self, training_set: TrainingSet) -> None:
        self._durations_s = training_set.durations_s
        self.audio_s_total = 0.0
        self.padded_s_total = 0.0
        self.utterances_total = 0
        self.seconds_total = 0.0
        self._clear()

    def _clear(self) -> None:
        self._start = time.perf_counter()
        self._audio_s = self._padded_s = self._loading_s = 0.0
        self._utterances = 0
        self._answers: list[tuple[PlannedBatch, torch.Tensor]] = []

    def add_loading(self, seconds: float) -> None:
        """Time in which the network waited for sound."""
        self._loading_s += seconds

    def pause(self, seconds: float) -> None:
        """Leave out time that was not training."""
        self._start += seconds

    def add_batch(self, planned: PlannedBatch, logits: torch.Tensor) -> None:
        """A batch that went through the network, with what it said: logits (B, F, V)."""
        self._audio_s += sum(self._durations_s[index] for index in planned.indices)
        self._padded_s += planned.padded_s * len(planned.indices)
        self._utterances += len(planned.indices)
        self._answers.append((planned, logits.argmax(dim=-1)))

    def read(self, model: CtcModel) -> dict[str, float]:
        """The stretch's measures as entries of a trainer log; starts the next stretch."""
        seconds = max(time.perf_counter() - self._start, 1e-9)
        self.audio_s_total += self._audio_s
        self.padded_s_total += self._padded_s
        self.utterances_total += self._utterances
        self.seconds_total += seconds
        measures = {
            "audio_s_per_s": self._audio_s / seconds,
            "utterances_per_s": self._utterances / seconds,
            "padding": self._padded_s / self._audio_s if self._audio_s else 1.0,
            "loading_share": min(1.0, self._loading_s / seconds),
            "blank_share": self._blank_share(model),
        }
        self._clear()
        return measures

    def _blank_share(self, model: CtcModel) -> float:
        blanks = frames = 0
        for planned, answers in self._answers:
            said = (answers == model.vocabulary.blank).cpu().numpy()
            for row, index in enumerate(planned.indices):
                samples = round(self._durations_s[index] * SAMPLE_RATE_HZ)
                heard = min(model.geometry.count_frames(samples), said.shape[1])
                blanks += int(said[row, :heard].sum())
                frames += heard
        return blanks / frames if frames else 1.0

"""Throughput and metrics of the training steps between two logs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gaudi_asr_cli.core.records import PlannedBatch
from gaudi_asr_cli.core.training.batches import TrainingSet
from gaudi_asr_cli.core.training.tasks.base import Task

if TYPE_CHECKING:
    import torch


class StepMeter:
    """Accumulates from log to log; tensors stay on their device until `read`."""

    def __init__(self, training_set: TrainingSet, task: Task) -> None:
        self._task = task
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
        self._step_metrics: list[Any] = []

    def add_loading(self, seconds: float) -> None:
        """Add time in which the network waited for a batch."""
        self._loading_s += seconds

    def pause(self, seconds: float) -> None:
        """Exclude time that was not spent on training."""
        self._start += seconds

    def add_batch(
        self,
        planned: PlannedBatch,
        global_batch: PlannedBatch,
        inputs: Mapping[str, torch.Tensor],
        logits: torch.Tensor,
    ) -> None:
        """Add a batch that went through the network, with its logits (B, F or L, V).

        Audio is counted for all ranks (`global_batch`), metrics for this rank's part (`planned`).
        """
        self._audio_s += sum(self._durations_s[index] for index in global_batch.indices)
        self._padded_s += global_batch.padded_s * len(global_batch.indices)
        self._utterances += len(global_batch.indices)
        self._step_metrics.append(self._task.step_metrics(planned, inputs, logits))

    def read(self) -> dict[str, float]:
        """Return the measures since the last call as entries of a trainer log, and start anew."""
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
            **self._task.aggregate(self._step_metrics, self._durations_s),
        }
        self._clear()
        return measures

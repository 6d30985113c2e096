"""Throughput and metrics of the training steps between two logs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from gaudi_asr_cli.core.records import PlannedBatch
from gaudi_asr_cli.core.training.batches import TrainingSet
from gaudi_asr_cli.core.training.tasks.base import Task

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class TrainingTotals:
    """Sums over the sessions of a run, up to a step; steps that a kill undid are not in them.

    `training_s` is the time of training steps, `wall_s` that of whole sessions.
    """

    audio_s: float = 0.0
    padded_s: float = 0.0
    utterances: int = 0
    training_s: float = 0.0
    wall_s: float = 0.0
    sessions: int = 0


class StepMeter:
    """Accumulates from log to log; tensors stay on their device until `read`.

    Args:
        training_set: The utterances that batches refer to.
        task: Measures batches.
        earlier: Totals of the sessions before this one.
        started_s: Start of this session on `time.perf_counter`'s clock.
    """

    def __init__(
        self, training_set: TrainingSet, task: Task, earlier: TrainingTotals, started_s: float
    ) -> None:
        self._task = task
        self._durations_s = training_set.durations_s
        self._totals = earlier
        self._started_s = started_s
        self.restart()

    def totals(self) -> TrainingTotals:
        """Return the totals of all sessions up to now."""
        now_s = time.perf_counter()
        # After the last log of a run there is no step, only scores and checkpoints.
        since_log_s = now_s - self._start if self._utterances else 0.0
        return replace(
            self._totals,
            training_s=self._totals.training_s + since_log_s,
            wall_s=self._totals.wall_s + now_s - self._started_s,
            sessions=self._totals.sessions + 1,
        )

    def restart(self) -> None:
        """Begin the measures between logs anew, at the start of training and after a log."""
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
        audio_s = sum(self._durations_s[index] for index in global_batch.indices)
        padded_s = global_batch.padded_s * len(global_batch.indices)
        self._audio_s += audio_s
        self._padded_s += padded_s
        self._utterances += len(global_batch.indices)
        # Batch by batch, so that a resumed run adds the same numbers in the same order.
        self._totals = replace(
            self._totals,
            audio_s=self._totals.audio_s + audio_s,
            padded_s=self._totals.padded_s + padded_s,
            utterances=self._totals.utterances + len(global_batch.indices),
        )
        self._step_metrics.append(self._task.step_metrics(planned, inputs, logits))

    def read(self) -> dict[str, float]:
        """Return the measures since the last call as entries of a trainer log, and start anew."""
        seconds = max(time.perf_counter() - self._start, 1e-9)
        self._totals = replace(self._totals, training_s=self._totals.training_s + seconds)
        measures = {
            "audio_s_per_s": self._audio_s / seconds,
            "utterances_per_s": self._utterances / seconds,
            "padding": self._padded_s / self._audio_s if self._audio_s else 1.0,
            "loading_share": min(1.0, self._loading_s / seconds),
            **self._task.aggregate(self._step_metrics, self._durations_s),
        }
        self.restart()
        return measures

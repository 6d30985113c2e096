"""A Trainer with planned batches and our own scoring.

A mixin over the Trainer class of the device, transformers' or optimum-habana's: it overrides the
input and the reports of the training loop, never the loop itself.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from gaudi_asr_cli.core.devices.base import Device
from gaudi_asr_cli.core.devices.copies import PendingCopy
from gaudi_asr_cli.core.devices.kits import TrainerKit
from gaudi_asr_cli.core.errors import TrainingError
from gaudi_asr_cli.core.records import PlannedBatch
from gaudi_asr_cli.core.secret_values import secrets_left_out
from gaudi_asr_cli.core.training.batches import PlannedBatches
from gaudi_asr_cli.core.training.meter import StepMeter
from gaudi_asr_cli.core.training.tasks.base import BATCH_METADATA

ScoreNow = Callable[[int], dict[str, float]]
"""Scores the network at a step: returns metrics whose names begin with `eval_`."""


@lru_cache(maxsize=4)
def planned_trainer(base: type) -> type:
    """Return a subclass of `base`, a Trainer class, with planned batches."""
    return type(f"Planned{base.__name__}", (PlannedMixin, base), {})


# The base class is known only when a device has been chosen.
_AnyTrainer: Any = object


class PlannedMixin(_AnyTrainer):  # type: ignore[misc]
    """A mixin that precedes a Trainer class among the bases.

    Args:
        batches: The training data; each item is a whole batch.
        kit: The kit that the Trainer class belongs to.
        score_now: Scores the network at a step; None where nothing is scored.
        meter: Measures the steps.
        rest: Arguments of the Trainer class.
    """

    def __init__(
        self,
        *,
        batches: PlannedBatches,
        kit: TrainerKit,
        score_now: ScoreNow | None,
        meter: StepMeter,
        **rest: Any,
    ) -> None:
        # The Trainer requires an evaluation set to call `evaluate`, which is overridden below.
        super().__init__(train_dataset=batches, eval_dataset=batches, **rest)
        self.batches = batches
        self.kit = kit
        self.device = batches.task.device
        self.copier = self.device.copier()
        self.pending_loss: PendingLoss | None = None
        self.score_now = score_now
        self.meter = meter
        meter.restart()
        # Our losses are means over the batch. transformers 5 would assume that they are already
        # divided by the number of labels of all accumulated batches, and would not divide them.
        self.model_accepts_loss_kwargs = False

    def _save(self, *rest: Any, **more: Any) -> None:
        # It writes the arguments as well (training_args.bin).
        with secrets_left_out(self.args.__dict__):
            super()._save(*rest, **more)

    def get_train_dataloader(self) -> Any:
        from torch.utils.data import DataLoader

        # DataLoader needs no more of a data set than a length and items.
        items: Any = self.batches
        return DataLoader(items, batch_size=1, collate_fn=only_item)

    def get_batch_samples(self, *rest: Any) -> Any:
        return self._timed(super().get_batch_samples, rest)

    def get_batch_samples_transformers(self, *rest: Any) -> Any:
        """Do the same as `get_batch_samples`, under the name used by optimum-habana's trainer."""
        return self._timed(super().get_batch_samples_transformers, rest)

    def _timed(self, get: Callable[..., Any], rest: tuple[Any, ...]) -> Any:
        # The epoch follows from the step, which a resumed run knows exactly.
        per_epoch = math.ceil(len(self.batches) / self.args.gradient_accumulation_steps)
        self.batches.epoch = self.state.global_step // per_epoch
        start = time.perf_counter()
        samples = get(*rest)
        self.meter.add_loading(time.perf_counter() - start)
        return samples

    def training_step(self, model: Any, inputs: dict[str, Any], *rest: Any) -> Any:
        loss = super().training_step(model, inputs, *rest)
        self._check_loss(loss, model, inputs)
        if not self.kit.marks_steps:
            self.device.mark_step()
        return loss

    def _check_loss(self, loss: Any, model: Any, inputs: dict[str, Any]) -> None:
        if self.device.is_async:
            # Reading the loss now would make the host wait for the step.
            self._read_pending_loss()
            finite = self.copier.start(loss.isfinite())
            self.pending_loss = PendingLoss(self.state.global_step + 1, inputs["planned"], finite)
        elif not bool(loss.isfinite()):
            raise loss_not_finite(self, model, inputs)

    def _read_pending_loss(self) -> None:
        last, self.pending_loss = self.pending_loss, None
        if last is not None and not bool(last.finite.wait()):
            raise late_loss_not_finite(self, last)

    def compute_loss(self, model: Any, inputs: dict[str, Any], *rest: Any, **more: Any) -> Any:
        more["return_outputs"] = True
        network_inputs = {
            name: value for name, value in inputs.items() if name not in BATCH_METADATA
        }
        loss, outputs = super().compute_loss(model, network_inputs, *rest, **more)
        logits = outputs["logits"].detach()  # (B, F or L, V)
        self.meter.add_batch(inputs["planned"], inputs["global_batch"], inputs, logits)
        if "loss_scale" in inputs:
            loss = loss * inputs["loss_scale"]
        if not self.kit.divides_loss(self.args):
            loss = loss / self.current_gradient_accumulation_steps
        return loss

    def log(self, logs: dict[str, Any], *rest: Any, **more: Any) -> None:
        measured = {}
        if "loss" in logs:
            self._read_pending_loss()
            measured = self.meter.read()
        super().log({**logs, **measured}, *rest, **more)

    def _save_checkpoint(self, *rest: Any, **more: Any) -> None:
        # Weights after a step whose loss was not finite must not be saved.
        self._read_pending_loss()
        super()._save_checkpoint(*rest, **more)

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        if self.score_now is None:
            return {}
        start = time.perf_counter()
        score_now = self.score_now
        # All ranks need the same score, so that they save and stop at the same step.
        metrics = self.device.ranks.broadcast(lambda: score_now(self.state.global_step))
        self.log(dict(metrics))
        self.control: Any = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        best = self.state.best_metric
        if best is None or metrics["eval_wer"] < best:
            # The best weights are saved regardless of the interval between checkpoints.
            self.control.should_save = True
        self.meter.pause(time.perf_counter() - start)
        return metrics


@dataclass(frozen=True, slots=True)
class PendingLoss:
    """A step for which the host does not know yet whether the loss is finite."""

    step: int
    planned: PlannedBatch
    finite: PendingCopy


@dataclass(frozen=True, slots=True)
class StepMarker:
    """Marks the optimiser step on a lazy device whose trainer does not mark it."""

    device: Device

    def callback(self) -> Any:
        """Return it as a callback of transformers."""
        from transformers import TrainerCallback

        mark_step = self.device.mark_step

        class MarkStep(TrainerCallback):  # type: ignore[misc]
            def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
                mark_step()

        return MarkStep()


def only_item(items: list[dict[str, Any]]) -> dict[str, Any]:
    """Collate one item, which is a whole batch already."""
    return items[0]


def loss_not_finite(trainer: Any, model: Any, inputs: dict[str, Any]) -> TrainingError:
    """Return the error for a loss that is not finite, with the utterances that cause it."""
    step = trainer.state.global_step + 1
    remedy = (
        "Lower the learning rate (--lr) or clip harder (--set optimizer.clip_norm=0.5), then "
        "--resume from the last checkpoint."
    )
    if not all(bool(weight.isfinite().all()) for weight in model.parameters()):
        return TrainingError(
            f"The weights are not finite at step {step}: the step before it was too large.",
            remedy=remedy,
        )
    ids = ", ".join(non_finite_utterances(trainer, model, inputs)) or "none on its own"
    return TrainingError(
        f"The loss of step {step} is not finite. Utterances with such a loss: {ids}.",
        remedy=f"Inspect these with `gaudi-asr check`. If they are correct: {remedy}",
    )


def late_loss_not_finite(trainer: Any, last: PendingLoss) -> TrainingError:
    """Return the error for a loss read one step late, when the weights are already damaged."""
    utterances = trainer.batches.training_set.utterances
    ids = ", ".join(utterances[index].id for index in last.planned.indices)
    return TrainingError(
        f"The loss of step {last.step} is not finite. Utterances of that step: {ids}.",
        remedy="Inspect these with `gaudi-asr check`. If they are correct: lower the learning rate "
        "(--lr) or clip harder (--set optimizer.clip_norm=0.5), then --resume from the last "
        "checkpoint.",
    )


def non_finite_utterances(trainer: Any, model: Any, inputs: dict[str, Any]) -> list[str]:
    """Return the ids of the utterances whose loss, computed one by one, is not finite."""
    import torch

    planned: PlannedBatch = inputs["planned"]
    labels = trainer.batches.training_set.labels
    found = []
    for index in planned.indices:
        one, _ = trainer.batches.load(PlannedBatch((index,), 0.0, len(labels[index])))
        on_device = {
            name: value.to(trainer.args.device)
            for name, value in one.items()
            if name not in BATCH_METADATA
        }
        with torch.no_grad():
            if not bool(model(**on_device).loss.isfinite()):
                found.append(trainer.batches.training_set.utterances[index].id)
    return found

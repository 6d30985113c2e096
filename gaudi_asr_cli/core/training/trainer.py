"""A Trainer whose batches our plan decides and whose scores our engine gives.

A mixin over whichever Trainer class the device brings, transformers' own or optimum-habana's: it
overrides what feeds the loop and what it reports, never the loop itself.
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
"""Scores the network as it stands at a step: metrics whose names begin with `eval_`."""


@lru_cache(maxsize=4)
def planned_trainer(base: type) -> type:
    """`base`, a Trainer class, with planned batches."""
    return type(f"Planned{base.__name__}", (PlannedMixin, base), {})


# What stands behind it is known only when a device has been chosen.
_AnyTrainer: Any = object


class PlannedMixin(_AnyTrainer):  # type: ignore[misc]
    """To be put in front of a Trainer class.

    Args:
        batches: What is trained on; each item is a whole batch.
        kit: The way of training that the Trainer class belongs to.
        score_now: Scores the network at a step; None where nothing is scored.
        rest: What the Trainer class takes.
    """

    def __init__(
        self,
        *,
        batches: PlannedBatches,
        kit: TrainerKit,
        score_now: ScoreNow | None,
        **rest: Any,
    ) -> None:
        # The Trainer wants to see an evaluation set before it calls `evaluate`, which is ours.
        super().__init__(train_dataset=batches, eval_dataset=batches, **rest)
        self.batches = batches
        self.kit = kit
        self.device = batches.task.device
        self.copier = self.device.copier()
        self.unread: UnreadLoss | None = None
        self.score_now = score_now
        self.meter = StepMeter(batches.training_set, batches.task)
        # Our losses are means over the batch; transformers 5 would take them for ones that are
        # divided by the number of labels of all accumulated batches, and not divide them.
        self.model_accepts_loss_kwargs = False

    def _save(self, *rest: Any, **more: Any) -> None:
        # It writes the arguments as well (training_args.bin).
        with secrets_left_out(self.args.__dict__):
            super()._save(*rest, **more)

    def get_train_dataloader(self) -> Any:
        from torch.utils.data import DataLoader

        # DataLoader asks no more of a data set than a length and items.
        items: Any = self.batches
        return DataLoader(items, batch_size=1, collate_fn=only_item)

    def get_batch_samples(self, *rest: Any) -> Any:
        return self._timed(super().get_batch_samples, rest)

    def get_batch_samples_transformers(self, *rest: Any) -> Any:
        """The same under the name that optimum-habana's trainer calls it by."""
        return self._timed(super().get_batch_samples_transformers, rest)

    def _timed(self, get: Callable[..., Any], rest: tuple[Any, ...]) -> Any:
        # The epoch is counted from steps, which a resumed run knows exactly.
        per_epoch = math.ceil(len(self.batches) / self.args.gradient_accumulation_steps)
        self.batches.epoch = self.state.global_step // per_epoch
        start = time.perf_counter()
        samples = get(*rest)
        self.meter.add_loading(time.perf_counter() - start)
        return samples

    def training_step(self, model: Any, inputs: dict[str, Any], *rest: Any) -> Any:
        loss = super().training_step(model, inputs, *rest)
        self._watch(loss, model, inputs)
        if not self.kit.marks_steps:
            self.device.mark_step()
        return loss

    def _watch(self, loss: Any, model: Any, inputs: dict[str, Any]) -> None:
        if self.device.is_async:
            # Reading the number now would make the host wait for the step.
            self._read_last()
            finite = self.copier.start(loss.isfinite())
            self.unread = UnreadLoss(self.state.global_step + 1, inputs["planned"], finite)
        elif not bool(loss.isfinite()):
            raise loss_not_finite(self, model, inputs)

    def _read_last(self) -> None:
        last, self.unread = self.unread, None
        if last is not None and not bool(last.finite.wait()):
            raise late_loss_not_finite(self, last)

    def compute_loss(self, model: Any, inputs: dict[str, Any], *rest: Any, **more: Any) -> Any:
        more["return_outputs"] = True
        heard = {name: value for name, value in inputs.items() if name not in BATCH_METADATA}
        loss, outputs = super().compute_loss(model, heard, *rest, **more)
        logits = outputs["logits"].detach()
        self.meter.add_batch(inputs["planned"], inputs["together"], inputs, logits)
        if "share" in inputs:
            loss = loss * inputs["share"]
        if not self.kit.divides_loss(self.args):
            loss = loss / self.current_gradient_accumulation_steps
        return loss

    def log(self, logs: dict[str, Any], *rest: Any, **more: Any) -> None:
        measured = {}
        if "loss" in logs:
            self._read_last()
            measured = self.meter.read()
        super().log({**logs, **measured}, *rest, **more)

    def _save_checkpoint(self, *rest: Any, **more: Any) -> None:
        # Weights of a step whose loss was not finite must not become a checkpoint.
        self._read_last()
        super()._save_checkpoint(*rest, **more)

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        if self.score_now is None:
            return {}
        start = time.perf_counter()
        score_now = self.score_now
        # Ranks that must save, stop and step together must know the same score.
        metrics = self.device.ranks.share(lambda: score_now(self.state.global_step))
        self.log(dict(metrics))
        self.control: Any = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        best = self.state.best_metric
        if best is None or metrics["eval_wer"] < best:
            # The best weights must be on disk, whatever the interval between checkpoints.
            self.control.should_save = True
        self.meter.pause(time.perf_counter() - start)
        return metrics


@dataclass(frozen=True, slots=True)
class UnreadLoss:
    """A step whose loss is being copied to the host: whether it was finite."""

    step: int
    planned: PlannedBatch
    finite: PendingCopy


@dataclass(frozen=True, slots=True)
class StepMarker:
    """Hands the optimiser's work to a device whose trainer does not."""

    device: Device

    def callback(self) -> Any:
        """The same as a callback of transformers."""
        from transformers import TrainerCallback

        mark_step = self.device.mark_step

        class Marked(TrainerCallback):  # type: ignore[misc]
            def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
                mark_step()

        return Marked()


def only_item(items: list[dict[str, Any]]) -> dict[str, Any]:
    """A batch of one item, which is a batch already."""
    return items[0]


def loss_not_finite(trainer: Any, model: Any, inputs: dict[str, Any]) -> TrainingError:
    """The error for a loss that is not finite: names the utterances it comes from."""
    step = trainer.state.global_step + 1
    remedy = (
        "Lower the learning rate (--lr) or clip harder (--set optimizer.clip_norm=0.5), then "
        "--resume from the last checkpoint."
    )
    if not all(bool(weight.isfinite().all()) for weight in model.parameters()):
        return TrainingError(
            f"At step {step} weights are not finite: the step before was too large.", remedy=remedy
        )
    ids = ", ".join(culprits(trainer, model, inputs)) or "none alone, only together"
    return TrainingError(
        f"The loss of step {step} is not finite. Utterances with such a loss: {ids}.",
        remedy=f"Look at these with `gaudi-asr check`. If they are sound: {remedy}",
    )


def late_loss_not_finite(trainer: Any, last: UnreadLoss) -> TrainingError:
    """The error for a loss that was seen a step late, when the weights are spoilt already."""
    utterances = trainer.batches.training_set.utterances
    ids = ", ".join(utterances[index].id for index in last.planned.indices)
    return TrainingError(
        f"The loss of step {last.step} is not finite. Utterances of that step: {ids}.",
        remedy="Look at these with `gaudi-asr check`. If they are sound: lower the learning rate "
        "(--lr) or clip harder (--set optimizer.clip_norm=0.5), then --resume from the last "
        "checkpoint.",
    )


def culprits(trainer: Any, model: Any, inputs: dict[str, Any]) -> list[str]:
    """Ids of the utterances of a batch whose own loss is not finite."""
    import torch

    planned: PlannedBatch = inputs["planned"]
    labels = trainer.batches.training_set.labels
    found = []
    for index in planned.indices:
        one, _ = trainer.batches.load(PlannedBatch((index,), 0.0, len(labels[index])))
        placed = {
            name: value.to(trainer.args.device)
            for name, value in one.items()
            if name not in BATCH_METADATA
        }
        with torch.no_grad():
            if not bool(model(**placed).loss.isfinite()):
                found.append(trainer.batches.training_set.utterances[index].id)
    return found

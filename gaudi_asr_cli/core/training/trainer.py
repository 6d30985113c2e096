"""A Trainer whose batches our plan decides and whose scores our engine gives.

A mixin over whichever Trainer class the device brings, transformers' own or optimum-habana's: it
overrides what feeds the loop and what it reports, never the loop itself.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from gaudi_asr_cli.core.errors import TrainingError
from gaudi_asr_cli.core.records import PlannedBatch
from gaudi_asr_cli.core.training.batches import PlannedBatches
from gaudi_asr_cli.core.training.meter import StepMeter

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
        score_now: Scores the network at a step; None where nothing is scored.
        rest: What the Trainer class takes.
    """

    def __init__(self, *, batches: PlannedBatches, score_now: ScoreNow | None, **rest: Any) -> None:
        # The Trainer wants to see an evaluation set before it calls `evaluate`, which is ours.
        super().__init__(train_dataset=batches, eval_dataset=batches, **rest)
        self.batches = batches
        self.score_now = score_now
        self.meter = StepMeter(batches.training_set)
        # A CTC loss is a mean over the batch; transformers 5 would take it for one that is
        # divided by the number of labels of all accumulated batches, and not divide it.
        self.model_accepts_loss_kwargs = False

    def get_train_dataloader(self) -> Any:
        from torch.utils.data import DataLoader

        # DataLoader asks no more of a data set than a length and items.
        items: Any = self.batches
        return DataLoader(items, batch_size=1, collate_fn=only_item)

    def get_batch_samples(self, iterator: Any, number: int, device: Any) -> Any:
        # The epoch is counted from steps, which a resumed run knows exactly.
        per_epoch = math.ceil(len(self.batches) / self.args.gradient_accumulation_steps)
        self.batches.epoch = self.state.global_step // per_epoch
        start = time.perf_counter()
        samples = super().get_batch_samples(iterator, number, device)
        self.meter.add_loading(time.perf_counter() - start)
        return samples

    def training_step(self, model: Any, inputs: dict[str, Any], *rest: Any) -> Any:
        loss = super().training_step(model, inputs, *rest)
        if not bool(loss.isfinite()):
            raise loss_not_finite(self, model, inputs)
        return loss

    def compute_loss(self, model: Any, inputs: dict[str, Any], *rest: Any, **more: Any) -> Any:
        more["return_outputs"] = True
        heard = {name: value for name, value in inputs.items() if name != "planned"}
        loss, outputs = super().compute_loss(model, heard, *rest, **more)
        self.meter.add_batch(inputs["planned"], outputs["logits"].detach())
        return loss

    def log(self, logs: dict[str, Any], *rest: Any) -> None:
        measured = self.meter.read(self.batches.model) if "loss" in logs else {}
        super().log({**logs, **measured}, *rest)

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        if self.score_now is None:
            return {}
        start = time.perf_counter()
        metrics = self.score_now(self.state.global_step)
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


def culprits(trainer: Any, model: Any, inputs: dict[str, Any]) -> list[str]:
    """Ids of the utterances of a batch whose own loss is not finite."""
    import torch

    planned: PlannedBatch = inputs["planned"]
    labels = trainer.batches.training_set.labels
    found = []
    for index in planned.indices:
        one, _ = trainer.batches.load(PlannedBatch((index,), 0.0, len(labels[index])))
        one.pop("planned")
        placed = {name: value.to(trainer.args.device) for name, value in one.items()}
        with torch.no_grad():
            if not bool(model(**placed).loss.isfinite()):
                found.append(trainer.batches.training_set.utterances[index].id)
    return found

"""The loss on evaluation data, as training computes it but without dropout and masks."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import replace

from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.records import BucketPlan, PlannedBatch, Utterance
from gaudi_asr_cli.core.text.rules import TextRules
from gaudi_asr_cli.core.training.batches import (
    NO_AUGMENTATION,
    PlannedBatches,
    TrainingSet,
    bucket_batch_size,
)
from gaudi_asr_cli.core.training.examples import Limits, select_examples
from gaudi_asr_cli.core.training.loss_meter import LossMeter
from gaudi_asr_cli.core.training.tasks.base import BATCH_METADATA, Task


def evaluation_set(
    utterances: Sequence[Utterance], rules: TextRules, task: Task, training_set: TrainingSet
) -> TrainingSet | None:
    """Return the utterances that have a loss, batched as the training set is; None if none has.

    On a device that compiles each shape, those longer than any in training are left out.
    """
    batching = training_set.batching
    longest_s = max((one.audio.duration_s or 0.0 for one in utterances), default=0.0)
    if not batching.static_shapes and longest_s > batching.edges_s[-1]:
        batching = replace(batching, edges_s=(*batching.edges_s, longest_s))
    try:
        limits = Limits(max_s=batching.edges_s[-1])
        examples = select_examples(utterances, rules, task, limits)
    except DataError:
        return None
    return replace(
        training_set,
        utterances=examples.utterances,
        labels=examples.labels,
        # Only one rank evaluates.
        batching=replace(batching, ranks=1),
        augmentation=NO_AUGMENTATION,
    )


def measure_loss(task: Task, examples: TrainingSet, meter: LossMeter | None = None) -> float | None:
    """Return the mean loss of the examples with the current weights; None if it is not finite.

    The mean is that of the task: over utterances for CTC, over tokens for seq2seq models.

    Args:
        task: The network, and how losses of batches add up.
        examples: Utterances with labels.
        meter: Losses that are known from transcribing; a batch of these needs no forward pass.
    """
    if examples.batching.static_shapes:
        # Padded to the end of its bucket, as in training.
        task = task.with_static_shapes()
    plan = examples.plan(0)
    total = weight = 0.0
    unknown: list[PlannedBatch] = []
    for planned in plan.batches:
        utterances = [examples.utterances[index] for index in planned.indices]
        known = None if meter is None else meter.batch_loss(utterances)
        if known is None:
            unknown.append(planned)
            continue
        share = _share(task, examples, planned.indices)
        total, weight = total + share * known, weight + share
    if unknown:
        added, more = _compute_losses(task, examples, plan, unknown)
        total, weight = total + added, weight + more
    loss = total / weight if weight else math.nan
    return loss if math.isfinite(loss) else None


def _share(task: Task, examples: TrainingSet, indices: Sequence[int]) -> float:
    return task.loss_scale([examples.labels[index] for index in indices], examples.labels)


def _compute_losses(
    task: Task, examples: TrainingSet, plan: BucketPlan, chosen: Sequence[PlannedBatch]
) -> tuple[float, float]:
    """Return the sum of the losses of some batches by a forward pass, and of their shares."""
    import torch

    network, total, weight = task.network, 0.0, 0.0
    was_training = network.training
    network.eval()
    try:
        with (
            contextlib.closing(PlannedBatches(examples, task)) as batches,
            torch.no_grad(),
            task.device.autocast(task.dtype),
        ):
            for planned in chosen:
                size = None
                if examples.batching.static_shapes:
                    size = bucket_batch_size(plan, planned.padded_s)
                try:
                    inputs, _ = batches.load(planned, batch_size=size)
                except DataError:
                    # None of its audio can be decoded, which the score counts.
                    continue
                share = _share(task, examples, inputs["planned"].indices)
                tensors = {
                    name: value.to(task.device.torch_device)
                    for name, value in inputs.items()
                    if name not in BATCH_METADATA
                }
                scale = float(inputs.get("loss_scale", 1.0))
                total += share * scale * float(network(**tensors).loss)
                weight += share
    finally:
        network.train(was_training)
    return total, weight

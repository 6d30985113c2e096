"""The part of each rank in a planned batch and its loss scale, with all ranks in one process."""

import dataclasses
from contextlib import closing

import pytest
import torch
from drive_ranks import CALM, TINY, data
from helpers.tiny_corpus import write_corpus

from gaudi_asr_cli.core.devices import open_device
from gaudi_asr_cli.core.distributed.ranks import SingleProcess
from gaudi_asr_cli.core.events import ignore
from gaudi_asr_cli.core.training.batches import PlannedBatches
from gaudi_asr_cli.core.training.tasks.base import BATCH_METADATA
from gaudi_asr_cli.core.workflows.finetune.job import prepare
from gaudi_asr_cli.core.workflows.finetune.opening import FinetuneRequest, resolve_recipe


class Rank(SingleProcess):
    """One of several ranks, without communication."""

    def __init__(self, index, count):
        super().__init__(count)
        self.index = index


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus"), utterances=13)


def batches_of(corpus, ranks, *, static, utterances, reduction="mean"):
    """Return the batches of an epoch as loaded by a rank, each with its loss."""
    plain = open_device("cpu").with_ranks(ranks)
    device = dataclasses.replace(plain, recompiles_on_new_shapes=static)
    settings = (
        *data(corpus), *TINY, *CALM, f"batching.batch={utterances}",
        f"network.ctc_loss_reduction={reduction}",
    )  # fmt: skip
    job = prepare(resolve_recipe(FinetuneRequest("digits", settings)), device, ignore)
    task = job.task.with_static_shapes() if static else job.task
    task.network.eval()
    found = []
    with closing(PlannedBatches(job.training_set, task)) as batches, torch.no_grad():
        for number in range(len(batches)):
            inputs = batches[number]
            tensors = {name: one for name, one in inputs.items() if name not in BATCH_METADATA}
            loss = task.network(**tensors).loss * inputs.get("loss_scale", 1.0)
            found.append((inputs, float(loss)))
    return found


@pytest.mark.parametrize("count", [2, 5])
@pytest.mark.parametrize(("static", "reduction"), [(True, "mean"), (False, "mean"), (True, "sum")])
def test_the_mean_of_the_ranks_losses_is_the_loss_of_the_global_batch(
    corpus, count, static, reduction
):
    one = batches_of(corpus, SingleProcess(), static=static, utterances=5 * 2, reduction=reduction)
    parts = [
        batches_of(
            corpus, Rank(index, count), static=static, utterances=10 // count, reduction=reduction
        )
        for index in range(count)
    ]

    mean_losses = [
        sum(losses) / count for losses in zip(*[[x for _, x in p] for p in parts], strict=True)
    ]
    assert mean_losses == pytest.approx([loss for _, loss in one], rel=1e-5)
    for step in zip(*parts, strict=True):
        widths = {tuple(inputs["input_values"].shape[1:]) for inputs, _ in step}
        rows = {inputs["labels"].shape for inputs, _ in step}
        assert len(widths) == 1
        # Without static shapes, some ranks have fewer rows in the last batch of a bucket.
        assert len(rows) == 1 or not static


def test_every_utterance_is_trained_once_and_repeated_ones_are_scaled_by_zero(corpus):
    parts = [batches_of(corpus, Rank(index, 8), static=True, utterances=1) for index in range(8)]

    repeated = 0
    for step in zip(*parts, strict=True):
        real = []
        for index, (inputs, _) in enumerate(step):
            repeats = index >= len(inputs["global_batch"].indices)
            repeated += repeats
            assert (float(inputs["loss_scale"]) == 0.0) is repeats
            real += [] if repeats else inputs["planned"].indices
        assert sorted(real) == sorted(step[0][0]["global_batch"].indices)
    assert repeated > 0

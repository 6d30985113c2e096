"""The loss on evaluation data."""

import dataclasses
import json
import math

import pytest
import torch
from helpers.tiny_corpus import write_corpus

from gaudi_asr_cli.core.data.batches import load_batch
from gaudi_asr_cli.core.devices import open_device
from gaudi_asr_cli.core.events import Evaluated, ignore
from gaudi_asr_cli.core.inference.transcribe import transcribe
from gaudi_asr_cli.core.training.eval_loss import evaluation_set, measure_loss
from gaudi_asr_cli.core.training.tasks.base import BATCH_METADATA
from gaudi_asr_cli.core.workflows.finetune.job import prepare, rules_of
from gaudi_asr_cli.core.workflows.finetune.opening import FinetuneRequest, resolve_recipe
from gaudi_asr_cli.core.workflows.finetune.run import finetune, score_split

SETTINGS = (
    "architecture.hidden_size=16", "architecture.intermediate_size=16",
    "architecture.num_attention_heads=2", "architecture.conv_dim=[8, 8, 8]",
    "architecture.num_conv_pos_embedding_groups=2", "batching.buckets=2", "dtype=fp32",
    "network.mask_time_prob=0.5", "network.hidden_dropout=0.5",
)  # fmt: skip


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus"))


def prepared(corpus, *settings, static=False):
    device = dataclasses.replace(open_device("cpu"), recompiles_on_new_shapes=static)
    given = (f"train.data={corpus}", f"eval.data={corpus}", *SETTINGS, *settings)
    job = prepare(resolve_recipe(FinetuneRequest("digits", given)), device, ignore)
    examples = evaluation_set(
        job.splits.eval.utterances, rules_of(job.recipe), job.task, job.training_set
    )
    return job, examples


def losses_one_by_one(task, examples):
    task.network.eval()
    for utterance, labels in zip(examples.utterances, examples.labels, strict=True):
        batch = load_batch([utterance]).batch
        inputs = task.inputs(batch, [labels], width=len(labels), batch_size=None)
        tensors = {name: one for name, one in inputs.items() if name not in BATCH_METADATA}
        with torch.no_grad():
            yield float(task.network(**tensors).loss)


@pytest.mark.parametrize(("batch", "static"), [(5, False), (5, True)])
def test_it_is_the_mean_over_the_utterances_without_dropout(corpus, batch, static):
    job, examples = prepared(corpus, f"batching.batch={batch}", static=static)
    job.task.network.train()

    found = measure_loss(job.task, examples)

    assert job.task.network.training
    assert found == measure_loss(job.task, examples)
    each = list(losses_one_by_one(job.task, examples))
    assert found == pytest.approx(sum(each) / len(each), rel=1e-4)


def test_longer_clips_than_in_training_count_where_any_shape_is_compiled(corpus):
    job, _ = prepared(corpus)
    longest_s = job.training_set.batching.edges_s[-1]
    short = dataclasses.replace(
        job.training_set,
        batching=dataclasses.replace(job.training_set.batching, edges_s=(longest_s / 2,)),
    )
    fixed = dataclasses.replace(
        short, batching=dataclasses.replace(short.batching, static_shapes=True)
    )
    utterances, rules = job.splits.eval.utterances, rules_of(job.recipe)

    assert len(evaluation_set(utterances, rules, job.task, short).utterances) == 12
    some = evaluation_set(utterances, rules, job.task, fixed)
    assert some is None or len(some.utterances) < 12


def test_nothing_to_measure_is_no_loss(corpus):
    job, examples = prepared(corpus)
    with torch.no_grad():
        for weight in job.task.network.parameters():
            weight.fill_(math.nan)

    assert evaluation_set((), rules_of(job.recipe), job.task, job.training_set) is None
    assert measure_loss(job.task, examples) is None


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_loss_of_emissions_that_were_decoded_is_the_same(corpus, monkeypatch, reduction):
    job, examples = prepared(corpus, "batching.batch=5", f"network.ctc_loss_reduction={reduction}")
    computed = measure_loss(job.task, examples)
    calls = []
    monkeypatch.setattr(job.task.network, "forward", count_calls(job.task.network.forward, calls))

    scored = score_split(job, job.task, job.splits.eval, "evaluate", examples)

    assert len(calls) == 12
    assert scored.loss == pytest.approx(computed, rel=1e-5)
    assert scored.result.score.utterances == 12


def test_what_was_not_decoded_is_computed(corpus):
    job, examples = prepared(corpus, "batching.batch=5")
    computed = measure_loss(job.task, examples)
    meter = job.task.loss_meter(examples.utterances, examples.labels)
    recognizer = meter.measured(job.task.recognizer())

    list(transcribe(recognizer, examples.utterances[:7]))

    assert len(meter.losses) == 7
    assert measure_loss(job.task, examples, meter) == pytest.approx(computed, rel=1e-5)


def count_calls(forward, calls):
    def counted(*inputs, **named):
        calls.append(1)
        return forward(*inputs, **named)

    return counted


def test_an_evaluation_during_training_reports_it(corpus, tmp_path):
    events = []
    settings = (f"train.data={corpus}", f"eval.data={corpus}", *SETTINGS, "max_steps=1")

    finetune(
        FinetuneRequest("digits", settings, tmp_path / "run"), open_device("cpu"), events.append
    )

    (evaluated,) = [one for one in events if isinstance(one, Evaluated)]
    report = json.loads((tmp_path / "run" / "report.json").read_text(encoding="utf-8"))
    assert evaluated.loss is not None
    assert evaluated.loss > 0
    assert report["eval"]["loss"] == pytest.approx(evaluated.loss, rel=1e-5)
    assert report["train"]["curve"][-1]["loss"] == evaluated.loss

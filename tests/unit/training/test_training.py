"""One training run in this process: what stops it, its events, and its files."""

import dataclasses
import json
import math
import signal

import pytest
from helpers.tiny_corpus import write_corpus
from safetensors.torch import load_file

from gaudi_asr_cli.core.devices import open_device
from gaudi_asr_cli.core.errors import (
    DataError,
    RecipeError,
    StoppedError,
    TrainingError,
    UsageError,
)
from gaudi_asr_cli.core.events import Evaluated, Noticed, StepLogged, TrainingStarted, ignore
from gaudi_asr_cli.core.runs import RunFolder
from gaudi_asr_cli.core.training.session import RunSession, is_disk_full, train
from gaudi_asr_cli.core.workflows.finetune.job import prepare
from gaudi_asr_cli.core.workflows.finetune.opening import FinetuneRequest, resolve_recipe
from gaudi_asr_cli.core.workflows.finetune.run import finetune, plan_finetune

TINY = (
    "architecture.hidden_size=16", "architecture.intermediate_size=16",
    "architecture.num_attention_heads=2", "architecture.conv_dim=[8, 8, 8]",
    "architecture.num_conv_pos_embedding_groups=2", "batching.batch=2", "batching.buckets=2",
    "max_steps=4", "evaluation.every=2", "evaluation.save_every=2", "evaluation.log_every=1",
    "dtype=fp32",
)  # fmt: skip


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus"))


def request(corpus, run, *settings, resume=False):
    data = (f"train.data={corpus}", f"eval.data={corpus}", "eval.limit=2")
    return FinetuneRequest("digits", (*data, *TINY, *settings), run, resume)


def test_a_run_emits_events_and_writes_a_complete_run_folder(corpus, tmp_path):
    events = []
    run = tmp_path / "run"

    report = finetune(request(corpus, run), open_device("cpu"), events.append)

    assert [one.step for one in events if isinstance(one, StepLogged)] == [1, 2, 3, 4]
    assert [one.step for one in events if isinstance(one, Evaluated)] == [2, 4]
    started = next(one for one in events if isinstance(one, TrainingStarted))
    assert (started.first_step, started.total_steps, started.utterances) == (0, 4, 12)
    saved = json.loads((run / "report.json").read_text())
    assert saved == json.loads(json.dumps(report.to_json(), default=str))
    assert saved["eval"]["utterances"] == 2
    lines = (run / "predictions.jsonl").read_text().splitlines()
    assert len(lines) == saved["eval"]["utterances"]
    assert {"recipe.yaml", "environment.json", "events.jsonl", "report.html"} <= {
        p.name for p in run.iterdir()
    }


def test_the_logged_loss_does_not_depend_on_gradient_accumulation(corpus, tmp_path):
    losses = []
    for accumulate in (1, 2):
        events = []
        settings = (
            f"batching.accumulate={accumulate}",
            "max_steps=1",
            "optimizer.learning_rate=1e-9",
        )
        finetune(
            request(corpus, tmp_path / str(accumulate), *settings),
            open_device("cpu"),
            events.append,
        )
        losses.append(next(one.loss for one in events if isinstance(one, StepLogged)))

    # A mean over batches, not a sum: two batches give about the loss of one.
    assert losses[1] == pytest.approx(losses[0], rel=0.3)


def test_weights_that_are_not_finite_stop_the_run(corpus, tmp_path):
    diverging = ("optimizer.learning_rate=1e30", "optimizer.warmup=0", "optimizer.clip_norm=0")

    with pytest.raises(TrainingError, match="not finite") as caught:
        finetune(request(corpus, tmp_path / "run", *diverging), open_device("cpu"))

    assert "--resume" in caught.value.remedy


def test_the_error_of_an_infinite_loss_names_its_utterance(corpus, tmp_path):
    device = open_device("cpu")
    requested = request(corpus, None, "network.ctc_zero_infinity=false")
    job = prepare(resolve_recipe(requested), device, ignore)
    labels = list(job.training_set.labels)
    labels[7] = labels[7] * 40  # more letters than frames
    object.__setattr__(job.training_set, "labels", tuple(labels))
    folder = RunFolder.create(tmp_path / "run")

    settings = dataclasses.replace(job.settings, eval_every=None, steps=6)

    with pytest.raises(TrainingError, match=r"such a loss: u07\."):
        train(job.task, job.training_set, None, settings, RunSession(folder, ignore, 0.0))


def test_ctrl_c_finishes_the_step_and_the_run_can_be_resumed(corpus, tmp_path):
    run = tmp_path / "run"

    def interrupt(event):
        if isinstance(event, StepLogged) and event.step == 1:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(StoppedError) as caught:
        finetune(request(corpus, run), open_device("cpu"), interrupt)
    report = finetune(request(corpus, run, resume=True), open_device("cpu"))

    assert caught.value.exit_code == 130
    assert report.outcome.resumed_step in {1, 2}
    assert report.outcome.steps == 4


def test_an_existing_run_folder_is_an_error_before_any_data_is_read(corpus, tmp_path):
    with pytest.raises(UsageError, match="exists already"):
        finetune(request("nothing-there", tmp_path), open_device("cpu"))


@pytest.mark.parametrize(
    ("setting", "remedy"),
    [
        ("trainer.weight_deccay=0.1", "trainer.weight_decay"),
        ("trainer.bf16=true", "gaudi-asr help recipes"),
        ("architecture.hiden_size=3", ""),
        ("network.layer_drop=0.1", "'network.layerdrop'"),
    ],
)
def test_the_error_of_an_unknown_setting_suggests_the_closest(corpus, tmp_path, setting, remedy):
    with pytest.raises(RecipeError) as caught:
        plan_finetune(request(corpus, None, setting), open_device("cpu"))

    assert remedy in caught.value.remedy


def test_a_vocabulary_without_the_characters_of_the_data_is_an_error(corpus, tmp_path):
    finetune(request(corpus, tmp_path / "run"), open_device("cpu"))
    uppercase = tmp_path / "uppercase"
    uppercase.mkdir()
    lines = [json.loads(line) for line in corpus.read_text().splitlines()]
    for line in lines:
        line |= {
            "text": line["text"].upper(),
            "audio_filepath": str(corpus.parent / line["audio_filepath"]),
        }
    manifest = uppercase / "manifest.jsonl"
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))

    with pytest.raises(DataError) as caught:
        plan_finetune(
            request(manifest, None, "text.case=keep", f"vocab={tmp_path / 'run' / 'model'}"),
            open_device("cpu"),
        )

    assert "--case lower" in caught.value.remedy


def test_undecodable_audio_is_skipped_and_listed(tmp_path):
    corpus = write_corpus(tmp_path / "corpus")
    (corpus.parent / "u03.wav").write_bytes(b"no audio")
    events = []

    # The manifest has durations, so only decoding finds it.
    report = finetune(
        request(corpus, tmp_path / "run", "max_steps=7"), open_device("cpu"), events.append
    )

    assert report.refused == {"audio cannot be read": 1}
    skipped = (tmp_path / "run" / "refused.jsonl").read_text()
    assert json.loads(skipped)["utterance_id"] == "u03"
    assert any("u03" in one.message for one in events if isinstance(one, Noticed))


def test_a_dry_run_counts_steps_and_batches_and_writes_nothing(corpus, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    plan = plan_finetune(request(corpus, tmp_path / "run"), open_device("cpu"))

    assert plan.steps == 4
    assert plan.batches_per_epoch == sum(math.ceil(n / 2) for n in plan.utterances_per_bucket)
    assert sum(plan.utterances_per_bucket) == plan.utterances == 12
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (OSError(28, "No space left on device"), True),
        (RuntimeError("PytorchStreamWriter failed writing file data/3: file write failed"), True),
        (RuntimeError("shape mismatch"), False),
        (OSError(13, "Permission denied"), False),
    ],
)
def test_a_full_disk_is_distinguished_from_other_errors(error, full, tmp_path):
    assert is_disk_full(error, tmp_path) is full


@pytest.mark.parametrize(("keep", "step"), [("best", 2), ("last", 4)])
def test_the_final_weights_are_the_best_or_the_last(corpus, tmp_path, keep, step):
    run = tmp_path / "run"

    report = finetune(request(corpus, run, f"evaluation.keep={keep}"), open_device("cpu"))

    # Four steps train nothing: the scores are equal, and the first of them is the best.
    assert report.outcome.best_step == (2 if keep == "best" else None)
    kept = load_file(run / "model" / "model.safetensors")
    then = load_file(run / "checkpoints" / f"checkpoint-{step}" / "model.safetensors")
    assert all(bool((kept[name] == then[name]).all()) for name in kept)

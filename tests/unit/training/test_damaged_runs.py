"""Damage to the files of a run never gives another result silently: it is named, or made good."""

import json
import os
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from helpers.slow import slow_after_first
from helpers.tiny_corpus import write_corpus
from safetensors.numpy import load_file

from gaudi_asr_cli.core.devices import open_device
from gaudi_asr_cli.core.errors import AsrError, RecipeError, StoppedError, UsageError
from gaudi_asr_cli.core.events import Noticed, StepLogged, ignore
from gaudi_asr_cli.core.runs import CHECKPOINT_MARK
from gaudi_asr_cli.core.workflows.finetune.opening import FinetuneRequest
from gaudi_asr_cli.core.workflows.finetune.run import finetune

SETTINGS = (
    "eval.limit=3", "test=null", "batching.batch=2", "batching.buckets=1", "max_steps=12",
    "evaluation.every=5", "evaluation.save_every=4", "evaluation.log_every=1",
    "network.hidden_dropout=0.1", "architecture.hidden_size=16",
    "architecture.intermediate_size=16", "architecture.num_attention_heads=2",
    "architecture.conv_dim=[8, 8, 8]", "architecture.num_conv_pos_embedding_groups=2", "dtype=fp32",
)  # fmt: skip
KILLED_AT = 9
"""The step after which the run is stopped; 5 was scored, so it is the best and was kept."""
BEST, NEWEST = "checkpoints/checkpoint-5", "checkpoints/checkpoint-8"


class KilledError(Exception):
    """Ends a run as a kill does: without a checkpoint of its last step."""


def train(corpus: Path, run: Path, observe=ignore, *, resume: bool = False) -> dict[str, Any]:
    settings = (f"train.data={corpus}", f"eval.data={corpus}", *SETTINGS)
    return finetune(FinetuneRequest("digits", settings, run, resume), open_device("cpu"), observe)


def result_of(run: Path) -> dict[str, Any]:
    report = json.loads((run / "report.json").read_text())
    weights = load_file(run / "model" / "model.safetensors")
    return {
        "weights": {name: value.tobytes() for name, value in weights.items()},
        "predictions": (run / "predictions.jsonl").read_bytes(),
        "steps": (report["steps"], report["best_step"], report["train"]["curve"]),
        "audio": (report["train"]["audio_s"], report["train"]["padding"]),
        "losses": (report["train"]["loss_first"], report["train"]["loss_last"]),
    }


@dataclass(frozen=True)
class Runs:
    corpus: Path
    whole: Path
    killed: Path


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    corpus = write_corpus(root / "corpus")

    def kill(event):
        if isinstance(event, StepLogged) and event.step == KILLED_AT:
            raise KilledError

    train(corpus, root / "whole")
    with pytest.raises(KilledError):
        train(corpus, root / "killed", kill)
    kept = {path.name for path in (root / "killed" / "checkpoints").iterdir()}
    assert kept == {Path(BEST).name, Path(NEWEST).name}
    return Runs(corpus, root / "whole", root / "killed")


def remove(name):
    def damage(run):
        path = run / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return damage


def cut(name):
    return lambda run: (run / name).write_bytes((run / name).read_bytes()[:99])


def flip(name):
    def damage(run):
        data = bytearray((run / name).read_bytes())
        data[len(data) // 2] ^= 1
        (run / name).write_bytes(data)

    return damage


def empty(name):
    return lambda run: (run / name).write_bytes(b"")


def write(name, text):
    return lambda run: (run / name).write_text(text)


def exchange(name):
    return lambda run: shutil.copy(run / BEST / name, run / NEWEST / name)


def as_of_an_earlier_version(run):
    """A mark without a list of files, and a file missing."""
    write(f"{NEWEST}/{CHECKPOINT_MARK}", '{"step": 8, "seed": 42}')(run)
    remove(f"{NEWEST}/rng_state.pth")(run)


def rename(run):
    (run / NEWEST).rename(run / "checkpoints/checkpoint-9")


def both(run):
    flip(f"{NEWEST}/optimizer.pt")(run)
    remove(f"{BEST}/optimizer.pt")(run)


def another_rate(run):
    text = (run / "recipe.yaml").read_text()
    changed = text.replace("clip_norm: 1.0", "clip_norm: 2.0")
    assert changed != text
    (run / "recipe.yaml").write_text(changed)


def another_hash(run):
    values = json.loads((run / "environment.json").read_text())
    write("environment.json", json.dumps({**values, "hashes": None}))(run)


FALLS_BACK = {
    "optimizer gone": (remove(f"{NEWEST}/optimizer.pt"), "optimizer.pt is missing"),
    "random state gone": (remove(f"{NEWEST}/rng_state.pth"), "rng_state.pth is missing"),
    "schedule gone": (remove(f"{NEWEST}/scheduler.pt"), "scheduler.pt is missing"),
    "weights gone": (remove(f"{NEWEST}/model.safetensors"), "model.safetensors is missing"),
    "state gone": (remove(f"{NEWEST}/trainer_state.json"), "trainer_state.json is missing"),
    "optimizer cut": (cut(f"{NEWEST}/optimizer.pt"), "optimizer.pt has 99 bytes"),
    "optimizer flipped": (flip(f"{NEWEST}/optimizer.pt"), "optimizer.pt is not what"),
    "weights flipped": (flip(f"{NEWEST}/model.safetensors"), "model.safetensors is not what"),
    "random state of before": (exchange("rng_state.pth"), "rng_state.pth is not what"),
    "optimizer of before": (exchange("optimizer.pt"), "optimizer.pt is not what"),
    "totals flipped": (flip(f"{NEWEST}/totals.json"), "totals.json is not what"),
    "mark empty": (empty(f"{NEWEST}/{CHECKPOINT_MARK}"), "complete.json is empty"),
    "mark cut": (cut(f"{NEWEST}/{CHECKPOINT_MARK}"), "complete.json is not valid JSON"),
    "mark of nothing": (write(f"{NEWEST}/{CHECKPOINT_MARK}", "{}"), "complete.json is of step"),
    "mark lists nothing": (
        write(f"{NEWEST}/{CHECKPOINT_MARK}", '{"step": 8, "files": {}}'),
        "does not list its files",
    ),
    "mark gone": (remove(f"{NEWEST}/{CHECKPOINT_MARK}"), "Removed the incomplete checkpoint-8"),
    "earlier version": (as_of_an_earlier_version, "rng_state*.pth is missing"),
    "renamed": (rename, "complete.json is of step 8"),
    "events cut": (cut("events.jsonl"), ""),
}  # fmt: skip
STOPS = {
    "best flipped": (flip(f"{BEST}/model.safetensors"), "checkpoint-5: model.safetensors is not"),
    "best gone": (remove(BEST), "checkpoint-5: complete.json"),
    "both damaged": (both, "checkpoint-8: optimizer.pt is not"),
    "environment gone": (remove("environment.json"), "environment.json"),
    "environment cut": (cut("environment.json"), "environment.json"),
    "no hashes": (another_hash, "environment.json does not hold the hashes"),
    "recipe changed": (another_rate, "recipe.yaml is not what"),
    "recipe cut": (cut("recipe.yaml"), "recipe.yaml is not what"),
    "recipe gone": (remove("recipe.yaml"), "recipe.yaml"),
}


@pytest.fixture
def killed(runs, tmp_path):
    return shutil.copytree(runs.killed, tmp_path / "run")


@pytest.mark.parametrize("kind", slow_after_first(FALLS_BACK))
def test_a_damaged_checkpoint_is_said_and_the_result_is_the_same(kind, runs, killed):
    damage, sentence = FALLS_BACK[kind]
    damage(killed)
    notices = []

    train(
        runs.corpus, killed, lambda one: isinstance(one, Noticed) and notices.append(one.message),
        resume=True,
    )  # fmt: skip

    assert result_of(killed) == result_of(runs.whole)
    assert any(sentence in one for one in notices) or not sentence, notices


@pytest.mark.parametrize("kind", STOPS)
def test_damage_that_cannot_be_made_good_is_an_error_that_names_the_file(kind, runs, killed):
    damage, sentence = STOPS[kind]
    damage(killed)
    before = sorted(killed.rglob("*"))

    with pytest.raises(AsrError) as raised:
        train(runs.corpus, killed, resume=True)

    assert sentence in raised.value.message
    assert raised.value.remedy
    assert sorted(killed.rglob("*")) == before


def test_of_two_resumes_at_the_same_time_one_is_refused_and_the_other_is_right(runs, killed):
    refused = []

    def resume_again(event):
        if isinstance(event, StepLogged) and not refused:
            with pytest.raises(UsageError) as raised:
                train(runs.corpus, killed, resume=True)
            refused.append(raised.value.message)

    train(runs.corpus, killed, resume_again, resume=True)

    assert f"is in use by process {os.getpid()}" in refused[0]
    assert result_of(killed) == result_of(runs.whole)
    assert not (killed / ".lock").exists()


def test_a_start_that_fails_before_training_leaves_nothing(runs, tmp_path):
    run = tmp_path / "run"
    settings = (f"train.data={runs.corpus}", f"eval.data={runs.corpus}", *SETTINGS)
    wrong = (*settings, "trainer.optim=none_such")

    with pytest.raises(RecipeError, match="none_such"):
        finetune(FinetuneRequest("digits", wrong, run), open_device("cpu"))

    assert not run.exists()


def test_a_start_that_was_killed_before_its_recipe_was_written_can_be_repeated(runs, tmp_path):
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / ".lock").write_text('{"pid": 1, "host": "a", "since": "2026"}')
    (run / ".recipe.yaml.7.part").write_text("kind:")
    (run / "environment.json").write_text("{}")

    train(runs.corpus, run)

    assert result_of(run) == result_of(runs.whole)


def test_a_checkpoint_of_an_earlier_version_is_resumed_from(runs, killed):
    write(f"{NEWEST}/{CHECKPOINT_MARK}", '{"step": 8, "seed": 42}')(killed)
    remove(f"{NEWEST}/totals.json")(killed)

    report = train(runs.corpus, killed, resume=True)

    assert report.outcome.resumed_step == 8
    assert result_of(killed)["weights"] == result_of(runs.whole)["weights"]


def test_the_report_of_a_resumed_run_counts_all_sessions(runs, killed):
    before = json.loads((killed / NEWEST / "totals.json").read_text())

    train(runs.corpus, killed, resume=True)

    report, whole = (json.loads((run / "report.json").read_text()) for run in (killed, runs.whole))
    events = (killed / "events.jsonl").read_text().splitlines()
    assert (report["sessions"], whole["sessions"]) == (2, 1)
    assert report["train"]["audio_s"] == whole["train"]["audio_s"] > before["audio_s"] > 0
    assert report["wall_s"] > before["wall_s"] > 0
    # Also the seconds between the last checkpoint and the kill.
    assert report["wall_s"] > spanned_s(events)


def spanned_s(lines):
    """Return the seconds of both sessions, from their start to their last event."""
    events = [json.loads(line) for line in lines]
    starts = [at for at, one in enumerate(events) if one["event"] == "TrainingStarted"]
    ends = [*(at - 1 for at in starts[1:]), len(events) - 1]
    return sum(
        events[end]["time_s"] - events[start]["time_s"]
        for start, end in zip(starts, ends, strict=True)
    )


@pytest.mark.slow
def test_sessions_that_were_killed_before_their_first_checkpoint_are_counted(runs, killed):
    def kill(event):
        if isinstance(event, StepLogged):
            raise KilledError

    for _ in range(2):
        with pytest.raises(KilledError):
            train(runs.corpus, killed, kill, resume=True)
    train(runs.corpus, killed, resume=True)

    report = json.loads((killed / "report.json").read_text())
    assert report["sessions"] == 4
    assert result_of(killed) == result_of(runs.whole)


@pytest.mark.parametrize("step", [5, 12])
def test_a_score_that_was_due_when_a_signal_came_is_caught_up_on(step, runs, tmp_path):
    def interrupt(event):
        if isinstance(event, StepLogged) and event.step == step - 1:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(StoppedError):
        train(runs.corpus, tmp_path / "run", interrupt)
    scored = (tmp_path / "run" / "events.jsonl").read_text().count('"Evaluated"')

    train(runs.corpus, tmp_path / "run", resume=True)

    assert scored == (0 if step == 5 else 2)
    assert result_of(tmp_path / "run") == result_of(runs.whole)

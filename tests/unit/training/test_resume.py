"""kill -9 at any moment, then --resume: the same weights as an uninterrupted run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.run import clean_environment
from helpers.tiny_corpus import write_corpus
from safetensors.numpy import load_file

from gaudi_asr_cli.core.devices import open_device
from gaudi_asr_cli.core.errors import RecipeError
from gaudi_asr_cli.core.workflows.finetune.opening import FinetuneRequest
from gaudi_asr_cli.core.workflows.finetune.run import finetune

KILLER = Path(__file__).parents[2] / "helpers" / "killed.py"
STEPS_PER_EPOCH = 6


def settings_for(corpus: Path) -> list[str]:
    """Return settings with everything random enabled: dropout, layerdrop, SpecAugment."""
    return [
        f"train.data={corpus}", f"eval.data={corpus}", "eval.limit=3", "test=null",
        "batching.batch=2", "batching.buckets=1", "max_steps=14",
        "evaluation.every=5", "evaluation.save_every=4", "evaluation.log_every=2",
        "network.hidden_dropout=0.1", "network.layerdrop=0.2", "network.mask_time_prob=0.3",
        "network.mask_time_length=2", "augment.speed=0.1", "architecture.hidden_size=16",
        "architecture.intermediate_size=16", "architecture.num_attention_heads=2",
        "architecture.conv_dim=[8, 8, 8]", "architecture.num_conv_pos_embedding_groups=2",
        "dtype=bf16",
    ]  # fmt: skip


def train(corpus: Path, run: Path, *, resume: bool = False) -> dict:
    request = FinetuneRequest("digits", tuple(settings_for(corpus)), run, resume)
    return finetune(request, open_device("cpu")).to_json()


def weights(run: Path) -> dict[str, bytes]:
    state = load_file(run / "model" / "model.safetensors")
    return {name: value.tobytes() for name, value in state.items()}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def uninterrupted(corpus, tmp_path_factory):
    run = tmp_path_factory.mktemp("whole") / "run"
    report = train(corpus, run)
    return run, report


def test_an_epoch_has_the_steps_that_the_moments_below_assume(uninterrupted):
    _, report = uninterrupted

    assert report["steps"] == 14
    assert report["epochs"] == pytest.approx(14 / STEPS_PER_EPOCH)


@pytest.mark.parametrize(
    ("moment", "step", "resumed"),
    [
        ("step", 5, 5),  # in the first epoch, straight after a score and its checkpoint
        ("step", 9, 8),  # in the second epoch
        (
            "in-checkpoint",
            8,
            5,
        ),  # step 8 is incomplete; 5 was scored, so it is the best and was kept
        ("after-checkpoint", 5, 5),  # marked as complete, the older one not yet removed
        ("finishing", 0, 14),  # training is finished, the report is not written
    ],
)
def test_a_killed_run_resumes_to_the_same_weights(
    moment, step, resumed, corpus, uninterrupted, tmp_path
):
    run = tmp_path / "run"
    arguments = [part for one in settings_for(corpus) for part in ("--set", one)]
    killed = subprocess.run(
        [sys.executable, KILLER, moment, str(step), "finetune-ctc", "--recipe", "digits",
         "--device", "cpu", "--run", run, *arguments],
        env=clean_environment(), capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    assert killed.returncode == -9, killed.stderr.decode()
    assert not (run / "report.json").exists()

    report = train(corpus, run, resume=True)

    whole, whole_report = uninterrupted
    assert report["resumed_step"] == resumed
    assert weights(run) == weights(whole)
    assert report["eval"]["wer"] == whole_report["eval"]["wer"]
    assert report["train"]["loss_last"] == whole_report["train"]["loss_last"]


def test_a_run_cannot_be_resumed_with_another_recipe(corpus, uninterrupted):
    run, _ = uninterrupted

    with pytest.raises(RecipeError, match="optimizer"):
        finetune(
            FinetuneRequest(None, ("optimizer.learning_rate=1.0",), run, resume=True),
            open_device("cpu"),
        )


def test_a_run_cannot_be_resumed_with_other_data(tmp_path):
    corpus = write_corpus(tmp_path / "corpus")
    run = tmp_path / "run"
    train(corpus, run)
    lines = corpus.read_text().splitlines()
    changed = {**json.loads(lines[0]), "text": "four four"}
    corpus.write_text("\n".join([json.dumps(changed), *lines[1:]]) + "\n")

    with pytest.raises(RecipeError, match="data"):
        train(corpus, run, resume=True)


def test_only_the_newest_and_the_best_checkpoint_are_kept(uninterrupted):
    run, report = uninterrupted

    kept = {folder.name for folder in (run / "checkpoints").iterdir()}
    assert kept == {f"checkpoint-{report['best_step']}", "checkpoint-14"}

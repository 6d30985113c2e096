"""Every command of the READMEs runs for two steps on a local model and local data."""

from __future__ import annotations

import json
from importlib.util import find_spec

import pytest
from helpers.old_commands import local_words, read_commands, write_local
from helpers.run import run_here
from helpers.slow import slow_after_first

# DeepSpeed is a package that neither environment of the tests has.
TRAINED = [old for old in read_commands() if old.trains and "deepspeed" not in old.flags]
EVALUATED = [old for old in read_commands("ctc", "seq2seq") if not old.trains]
COMMANDS = {"ctc": ("finetune-ctc", "eval-ctc"), "seq2seq": ("finetune-seq2seq", "eval-seq2seq")}


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    return write_local(tmp_path_factory.mktemp("local"))


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    # `--output_dir ./x`, and runs/ without one, are written to the working directory.
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("old", slow_after_first(TRAINED), ids=lambda old: old.id)
def test_a_training_command_trains_two_steps(old, local, tmp_path):
    words = local_words(old, local, tmp_path / "run", "cpu")

    result = run_here(old.current, *words, "--json")

    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert (report["steps"], report["device"]) == (2, "cpu")
    assert report["eval"]["utterances"] == 3
    assert report["eval"]["normalizer"].startswith("none")
    assert result.stderr.count("--dataset_name is --train and --eval") == 1


@pytest.mark.parametrize(
    ("old", "command"),
    [
        pytest.param(old, command, id=f"{old.id}-{command}")
        for old in EVALUATED
        for command in COMMANDS[old.script]
    ],
)
def test_a_command_that_only_evaluates_reports_a_score(old, command, local, tmp_path):
    words = local_words(old, local, tmp_path / "run", "cpu")

    result = run_here(command, *words, "--json")

    assert result.exit_code == 0, result.stderr
    score = json.loads(result.stdout)
    assert (score["utterances"], score["utterances_total"]) == (3, 3)
    assert (tmp_path / "run" / "predictions.jsonl").read_text().count("\n") == 3


@pytest.mark.parametrize("old", read_commands("bench"), ids=lambda old: old.id)
def test_a_benchmark_runs(old, local, tmp_path):
    result = run_here("bench", *local_words(old, local, tmp_path / "run", "cpu"), "--json")

    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert (report["utterances"], report["repeat"], report["random_weights"]) == (2, 1, False)
    assert report["dtype"] == old.flags["dtype"]
    assert report["score"]["utterances"] == 2


def test_unnamed_characters_that_the_script_removed_are_counted_in_the_data(local, tmp_path):
    words = local_words(TRAINED[0], local, tmp_path / "run", "cpu")

    result = run_here("finetune-ctc", *words)

    notice = (
        "The old script would also have removed from the text of this data: ' 2x. They are kept."
    )
    assert result.stderr.count(notice) == 1
    assert "'" in (tmp_path / "run" / "model" / "vocab.json").read_text()
    assert '"!"' not in (tmp_path / "run" / "model" / "vocab.json").read_text()


def test_an_existing_run_folder_is_kept_and_the_next_free_one_used(local, tmp_path):
    words = local_words(TRAINED[0], local, tmp_path / "run", "cpu")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("mine")
    (tmp_path / "run-2").mkdir()

    result = run_here("finetune-ctc", *words, "--json")

    assert json.loads(result.stdout)["run"] == str(tmp_path / "run-3")
    assert f"--output_dir exists, so the run is {tmp_path / 'run-3'}" in result.stderr
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["mine.txt"]


def test_without_overwrite_output_dir_an_existing_folder_is_rejected(local, tmp_path):
    words = local_words(TRAINED[0], local, tmp_path, "cpu")

    result = run_here("finetune-ctc", *[word for word in words if word != "--overwrite_output_dir"])

    assert result.exit_code == 2
    assert "exists already" in result.stderr


def test_quiet_prints_nothing_and_a_dry_run_writes_nothing(local, tmp_path):
    words = local_words(TRAINED[0], local, tmp_path / "run", "cpu")

    result = run_here("finetune-ctc", *words, "--quiet", "--dry-run", "--json")

    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout)["steps"] == 2
    assert not (tmp_path / "run").exists()


def test_fp16_becomes_auto_on_a_device_without_it(local, tmp_path):
    old = next(old for old in TRAINED if "fp16" in old.flags)

    result = run_here("finetune-ctc", *local_words(old, local, tmp_path / "run", "cpu"), "--json")

    assert json.loads(result.stdout)["dtype"] in {"bf16", "fp32"}
    assert "--fp16 is --dtype fp16; like --dtype auto on a device without fp16" in result.stderr


@pytest.mark.skipif(find_spec("deepspeed") is not None, reason="DeepSpeed is installed here")
def test_without_deepspeed_its_command_names_the_package(local, tmp_path):
    old = next(old for old in read_commands("ctc") if "deepspeed" in old.flags)
    (tmp_path / "zero.json").write_text("{}")
    words = local_words(old, local, tmp_path / "run", "cpu")
    words[words.index("--deepspeed") + 1] = "zero.json"

    result = run_here("finetune-ctc", *words)

    assert result.exit_code == 5
    assert "pip install deepspeed" in result.stderr

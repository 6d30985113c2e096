"""Every command of the READMEs runs for two steps on a local model and local data."""

from __future__ import annotations

import json
from importlib.util import find_spec

import pytest
from helpers.old_commands import local_words, read_commands, write_local
from helpers.run import run_here
from helpers.slow import slow_after_first

# DeepSpeed is a package that neither environment of the tests has.
TRAINED = [one for one in read_commands() if one.trains and "deepspeed" not in one.flags]
SCORED = [one for one in read_commands("ctc", "seq2seq") if not one.trains]
COMMANDS = {"ctc": ("finetune-ctc", "eval-ctc"), "seq2seq": ("finetune-seq2seq", "eval-seq2seq")}


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    return write_local(tmp_path_factory.mktemp("local"))


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    # `--output_dir ./x` and runs/ without one belong to the test.
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("old", slow_after_first(TRAINED), ids=lambda one: one.id)
def test_a_training_command_trains_two_steps(old, local, tmp_path):
    words = local_words(old, local, tmp_path / "run", "cpu")

    result = run_here(old.today, *words, "--json")

    assert result.exit_code == 0, result.stderr
    account = json.loads(result.stdout)
    assert (account["steps"], account["device"]) == (2, "cpu")
    assert account["eval"]["utterances"] == 3
    assert account["eval"]["normalizer"].startswith("none")
    assert result.stderr.count("--dataset_name is --train and --eval") == 1


@pytest.mark.parametrize(
    ("old", "command"),
    [
        pytest.param(one, command, id=f"{one.id}-{command}")
        for one in SCORED
        for command in COMMANDS[one.script]
    ],
)
def test_a_command_that_only_evaluates_gives_a_score(old, command, local, tmp_path):
    words = local_words(old, local, tmp_path / "run", "cpu")

    result = run_here(command, *words, "--json")

    assert result.exit_code == 0, result.stderr
    score = json.loads(result.stdout)
    assert (score["utterances"], score["utterances_total"]) == (3, 3)
    assert (tmp_path / "run" / "predictions.jsonl").read_text().count("\n") == 3


@pytest.mark.parametrize("old", read_commands("bench"), ids=lambda one: one.id)
def test_a_benchmark_listens(old, local, tmp_path):
    result = run_here("bench", *local_words(old, local, tmp_path / "run", "cpu"), "--json")

    assert result.exit_code == 0, result.stderr
    account = json.loads(result.stdout)
    assert (account["utterances"], account["repeat"], account["random_weights"]) == (2, 1, False)
    assert account["dtype"] == old.flags["dtype"]
    assert account["score"]["utterances"] == 2


def test_what_the_old_pattern_would_have_removed_is_counted_in_this_data(local, tmp_path):
    words = local_words(TRAINED[0], local, tmp_path / "run", "cpu")

    result = run_here("finetune-ctc", *words)

    said = "The old script would also have removed from this data's text: ' 2x. They stay."
    assert result.stderr.count(said) == 1
    assert "'" in (tmp_path / "run" / "model" / "vocab.json").read_text()
    assert '"!"' not in (tmp_path / "run" / "model" / "vocab.json").read_text()


def test_nothing_is_overwritten_the_run_gets_the_next_free_folder(local, tmp_path):
    words = local_words(TRAINED[0], local, tmp_path / "run", "cpu")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("mine")
    (tmp_path / "run-2").mkdir()

    result = run_here("finetune-ctc", *words, "--json")

    assert json.loads(result.stdout)["run"] == str(tmp_path / "run-3")
    assert f"--output_dir exists, so the run is {tmp_path / 'run-3'}" in result.stderr
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["mine.txt"]


def test_without_leave_to_overwrite_an_existing_folder_is_refused(local, tmp_path):
    words = local_words(TRAINED[0], local, tmp_path, "cpu")

    result = run_here("finetune-ctc", *[one for one in words if one != "--overwrite_output_dir"])

    assert result.exit_code == 2
    assert "exists already" in result.stderr


def test_quiet_is_silent_and_a_plan_writes_nothing(local, tmp_path):
    words = local_words(TRAINED[0], local, tmp_path / "run", "cpu")

    result = run_here("finetune-ctc", *words, "--quiet", "--dry-run", "--json")

    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout)["steps"] == 2
    assert not (tmp_path / "run").exists()


def test_half_precision_gives_way_where_the_device_has_none(local, tmp_path):
    old = next(one for one in TRAINED if "fp16" in one.flags)

    result = run_here("finetune-ctc", *local_words(old, local, tmp_path / "run", "cpu"), "--json")

    assert json.loads(result.stdout)["dtype"] in {"bf16", "fp32"}
    assert "--fp16 is --dtype fp16; a device that has none" in result.stderr


@pytest.mark.skipif(find_spec("deepspeed") is not None, reason="DeepSpeed is installed here")
def test_where_deepspeed_is_not_installed_its_command_says_how_to_get_it(local, tmp_path):
    old = next(one for one in read_commands("ctc") if "deepspeed" in one.flags)
    (tmp_path / "zero.json").write_text("{}")
    words = local_words(old, local, tmp_path / "run", "cpu")
    words[words.index("--deepspeed") + 1] = "zero.json"

    result = run_here("finetune-ctc", *words)

    assert result.exit_code == 5
    assert "pip install deepspeed" in result.stderr

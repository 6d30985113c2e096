import json

import pytest
from helpers.run import run_here

SMALL = [
    "--recipe", "digits", "--max_steps", "2", "--batch-seconds", "4", "--set", "evaluation.every=2",
    "--set", "architecture.num_hidden_layers=1", "--set=evaluation.log_every=1", "--device", "cpu",
]  # fmt: skip


@pytest.fixture(scope="module")
def trained(corpus, tmp_path_factory):
    run = tmp_path_factory.mktemp("finetune") / "run"
    words = ["--train", corpus, "--eval", corpus, "--run", run, "--seed", 7, "--json"]
    return run, run_here("finetune-ctc", *SMALL, *words)


def test_the_account_is_one_object_and_report_json(trained):
    run, result = trained

    answer = json.loads(result.stdout)
    assert result.exit_code == 0
    assert (answer["schema"], answer["seed"], answer["steps"]) == ("finetune-ctc/1", 7, 2)
    assert answer == json.loads((run / "report.json").read_text())


def test_progress_is_on_standard_error_in_plain_lines(trained):
    err = trained[1].stderr

    assert "training to step 2" in err
    assert "step 2/2" in err
    assert "WER" in err
    assert "\x1b" not in err


def test_a_run_folder_is_never_trained_into_twice(trained, corpus):
    result = run_here("finetune-ctc", *SMALL, "--train", corpus, "--run", trained[0])

    assert result.exit_code == 2
    assert "--resume" in result.stderr


def test_a_plan_is_shown_and_nothing_is_written(corpus, tmp_path):
    run = tmp_path / "run"

    result = run_here("finetune-ctc", *SMALL, "--train", corpus, "--run", run, "--dry-run")

    assert (result.exit_code, result.stdout, run.exists()) == (0, "", False)
    assert "12 utterances" in result.stderr
    assert max(map(len, result.stderr.splitlines())) <= 80


def test_a_plan_as_json(corpus):
    result = run_here("finetune-ctc", *SMALL, "--train", corpus, "--dry-run", "--json")

    assert json.loads(result.stdout)["steps"] == 2


def test_a_misspelt_key_of_the_recipe_ends_with_3(corpus):
    result = run_here(
        "finetune-ctc", *SMALL, "--train", corpus, "--set", "optimizer.lerning_rate=1"
    )

    assert result.exit_code == 3
    assert "learning_rate" in result.stderr


def test_a_field_of_the_trainer_is_an_option(corpus, tmp_path):
    words = ["--train", corpus, "--run", tmp_path / "run", "--logging-steps", "1", "--json"]

    result = run_here("finetune-ctc", *SMALL, *words)

    assert result.exit_code == 0
    assert "logging_steps: 1" in (tmp_path / "run" / "recipe.yaml").read_text()

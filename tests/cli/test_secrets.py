"""A planted token is in no byte that a command writes or prints."""

import json
import os

import pytest
import yaml
from helpers.run import run, run_here

TOKEN = "planted-token-4711"


def plants_in(folder):
    return [path for path in folder.rglob("*") if path.is_file() and holds_token(path)]


def holds_token(path):
    return TOKEN.encode() in path.read_bytes()


def words_of(model, corpus, out):
    return [
        *("finetune-ctc", "--model", model, "--train", corpus, "--max-steps", 2),
        *("--set", "evaluation.save_every=1", "--device", "cpu", "--run", out),
    ]


@pytest.fixture
def typed(monkeypatch):
    """Set the command line of this process to the command that is run."""

    def run_typed(*words):
        monkeypatch.setattr("sys.argv", ["gaudi-asr", *map(str, words)])
        return run_here(*words)

    return run_typed


@pytest.mark.parametrize(
    "given",
    [
        ["--set", f"trainer.hub_token={TOKEN}"],
        [f"--hub-token={TOKEN}"],
        ["--set", f"trainer={{hub_token: {TOKEN}}}"],
    ],
)
def test_no_file_of_a_run_holds_a_token(given, typed, tiny_model, corpus, tmp_path):
    done = typed(*words_of(tiny_model, corpus, tmp_path / "run"), *given)

    assert done.exit_code == 0, done.stderr
    assert (tmp_path / "run/checkpoints/checkpoint-2/training_args.bin").exists()
    assert plants_in(tmp_path) == []
    assert TOKEN not in done.stdout + done.stderr
    command = json.loads((tmp_path / "run/environment.json").read_text())["command"]
    assert "***" in " ".join(command)


def test_a_token_of_a_recipe_file_reaches_the_trainer_and_no_file(
    typed, tiny_model, corpus, tmp_path, monkeypatch
):
    from gaudi_asr_cli.core.devices.kits import NativeKit

    given = []
    arguments = NativeKit.arguments

    def noted(kit, values, extra):
        given.append(extra.get("hub_token"))
        return arguments(kit, values, extra)

    monkeypatch.setattr(NativeKit, "arguments", noted)
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(
        yaml.safe_dump(
            {"model": str(tiny_model), "train": str(corpus), "trainer": {"hub_token": TOKEN}}
        )
    )
    words = ["finetune-ctc", "--recipe", recipe, "--max-steps", 1, "--device", "cpu"]

    done = typed(*words, "--run", tmp_path / "run")

    assert done.exit_code == 0, done.stderr
    assert given == [TOKEN]
    assert plants_in(tmp_path / "run") == []


def test_a_run_is_resumed_with_its_token_and_without(typed, tiny_model, corpus, tmp_path):
    words = words_of(tiny_model, corpus, tmp_path / "run")
    secret = ["--set", f"trainer.hub_token={TOKEN}"]
    typed(*words, *secret)

    again = typed("finetune-ctc", "--resume", "--run", tmp_path / "run", "--device", "cpu", *secret)
    without = typed("finetune-ctc", "--resume", "--run", tmp_path / "run", "--device", "cpu")

    assert (again.exit_code, without.exit_code) == (0, 0), again.stderr + without.stderr
    assert plants_in(tmp_path) == []


@pytest.mark.parametrize(
    "given",
    [
        ["--set", f"model.hub_token={TOKEN}"],
        ["--set", f"trainer.hub_token.x={TOKEN}", "--set", f"trainer.hub_token={TOKEN}", TOKEN],
        ["--hub_token", TOKEN, "--seeed", "1"],
        ["--train", f"https://somebody:{TOKEN}@example.org/data"],
        ["--set", f"trainer.hub_token={TOKEN}", "--set", f"trainer.run_nme={TOKEN}"],
    ],
)
def test_no_error_shows_a_token(given, typed, tiny_model, corpus, tmp_path):
    done = typed(*words_of(tiny_model, corpus, tmp_path / "run"), *given)

    assert done.exit_code in (2, 3, 4)
    assert TOKEN not in done.stdout + done.stderr
    assert plants_in(tmp_path) == []


def test_recipes_are_shown_and_copied_without_secrets(typed, tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text(f"train: demo\nmodel: demo\ntrainer: {{hub_token: {TOKEN}, run_name: x}}\n")

    shown = typed("recipes", "show", mine)
    whole = typed("recipes", "show", "--whole", mine)
    typed("recipes", "copy", mine, tmp_path / "copy.yaml")

    assert "run_name: x" in shown.stdout
    assert TOKEN not in shown.stdout + whole.stdout + (tmp_path / "copy.yaml").read_text()


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_an_imported_command_is_shown_without_secrets(flags, typed):
    line = (
        f"HF_TOKEN={TOKEN} python run_speech_recognition_ctc.py --dataset_name=x --do_train "
        f"--model_name_or_path=y --output_dir=z --hub_token={TOKEN} --push_to_hub_token {TOKEN}"
    )

    done = typed("import-command", line, *flags)

    assert done.exit_code == 0, done.stderr
    assert TOKEN not in done.stdout + done.stderr


@pytest.mark.slow
def test_no_file_of_two_ranks_holds_a_token(tiny_model, corpus, tmp_path):
    words = words_of(tiny_model, corpus, tmp_path / "run")
    env = {"WANDB_API_KEY": TOKEN, "OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path)}

    done = run(*words, "--cards", 2, "--set", f"trainer.hub_token={TOKEN}", env=env)

    assert done.exit_code == 0, done.stderr
    assert plants_in(tmp_path) == []


@pytest.mark.slow
def test_an_error_of_a_rank_shows_no_token(tiny_model, corpus, tmp_path):
    words = words_of(tiny_model, corpus, tmp_path / "run")
    bad = ["--set", f"trainer.hub_token={TOKEN}", "--set", "trainer.optim=nonsense"]

    done = run(*words, "--cards", 2, *bad, env={"OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path)})

    assert done.exit_code == 3
    assert "nonsense" in done.stderr
    assert TOKEN not in done.stdout + done.stderr
    assert plants_in(tmp_path) == []
    assert os.environ.get("GAUDI_ASR_SECRETS") is None

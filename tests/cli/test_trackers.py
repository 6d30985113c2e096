"""What trackers get of a run: its name, losses, error rates and learning rate.

The trackers are no dependency: each test is skipped where its package is not installed.
"""

import json

import pytest
from helpers.run import run

SMALL = [
    "--recipe", "digits", "--max-steps", "2", "--batch-seconds", "4", "--device", "cpu",
    "--set", "architecture.num_hidden_layers=1", "--set", "evaluation.every=1",
    "--set", "evaluation.log_every=1",
]  # fmt: skip
TOKEN = "planted-token-4711"


def train(corpus, folder, tracker, **env):
    words = ["--train", corpus, "--eval", corpus, "--run", folder / "digits-a"]
    hidden = ["--set", f"trainer.hub_token={TOKEN}"]
    done = run("finetune-ctc", *SMALL, *words, "--report-to", tracker, *hidden, cwd=folder, env=env)
    assert done.exit_code == 0, done.stderr
    holding = [
        path for path in folder.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()
    ]
    assert holding == []


def test_tensorboard_gets_losses_and_rates_in_the_run_folder(corpus, tmp_path):
    pytest.importorskip("tensorboard", reason="pip install tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(corpus, tmp_path, "tensorboard")

    events = EventAccumulator(str(tmp_path / "digits-a/tensorboard"))
    events.Reload()
    wanted = {"train/loss", "train/learning_rate", "eval/loss", "eval/wer", "eval/cer"}
    assert wanted <= set(events.Tags()["scalars"])
    assert [one.step for one in events.Scalars("eval/wer")] == [1, 2]
    # A random network is far from its text, and has a finite loss.
    assert 0 < events.Scalars("eval/loss")[-1].value < 1000


def test_wandb_gets_them_offline_under_the_name_of_the_run(corpus, tmp_path):
    pytest.importorskip("wandb", reason="pip install wandb")

    train(corpus, tmp_path, "wandb", WANDB_MODE="offline", WANDB_DIR=str(tmp_path))

    (written,) = tmp_path.rglob("*.wandb")
    content = written.read_bytes()
    for word in ("digits-a", "train/loss", "train/learning_rate", "eval/loss", "eval/wer"):
        assert word.encode() in content


def test_mlflow_gets_them_in_a_file_store(corpus, tmp_path):
    mlflow = pytest.importorskip("mlflow", reason="pip install mlflow")
    store = (tmp_path / "mlruns").as_uri()
    place = {"MLFLOW_TRACKING_URI": store, "MLFLOW_ALLOW_FILE_STORE": "true"}

    train(corpus, tmp_path, "mlflow", **place)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        client = mlflow.tracking.MlflowClient(store)
        (found,) = client.search_runs(["0"])
    assert found.info.run_name == "digits-a"
    assert {"loss", "learning_rate", "eval_loss", "eval_wer"} <= set(found.data.metrics)


def test_a_tracker_that_does_not_start_leaves_no_run(corpus, tmp_path):
    pytest.importorskip("mlflow", reason="pip install mlflow")
    folder = tmp_path / "digits-a"
    place = {"MLFLOW_TRACKING_URI": "nonsense://x"}

    words = ["--train", corpus, "--run", folder, "--report-to", "mlflow"]
    done = run("finetune-ctc", *SMALL, *words, env=place)

    assert done.exit_code == 5
    assert "mlflow cannot start" in done.stderr
    assert "Traceback" not in done.stderr
    assert not folder.exists()


def test_several_trackers_are_one_setting_of_the_recipe(corpus, tmp_path, monkeypatch):
    from helpers.run import run_here

    from gaudi_asr_cli.core.training import settings

    monkeypatch.setattr(settings, "find_spec", lambda module: None)
    words = ["--train", corpus, "--run", tmp_path / "run", "--report-to", "tensorboard,wandb"]

    done = run_here("finetune-ctc", *SMALL, *words, "--report-to", "mlflow", "--json")

    assert done.exit_code == 5
    assert "pip install tensorboard" in done.stderr
    assert not (tmp_path / "run").exists()
    assert json.dumps(settings.obeyed({"report_to": "tensorboard, wandb"})) == (
        '{"report_to": ["tensorboard", "wandb"]}'
    )

import json

import pytest
from helpers.run import run_here
from helpers.tiny_corpus import write_corpus
from helpers.tiny_seq2seq import save_tiny_whisper


@pytest.fixture(scope="module")
def whisper(tmp_path_factory):
    return save_tiny_whisper(tmp_path_factory.mktemp("whisper") / "model")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus"), utterances=6)


def tune(whisper, *more):
    words = ["--model", whisper, "--device", "cpu", "--max-steps", "2", "--batch", "3"]
    return run_here("finetune-seq2seq", *words, "--set", "evaluation.log_every=1", *more)


def test_a_tuned_model_is_scored_by_eval_seq2seq(whisper, small, tmp_path):
    run = tmp_path / "run"
    words = ["--train", small, "--eval", small, "--language", "english", "--lr", "5e-3"]
    # Six utterances by heart: enough to see that what was learnt is what is written.
    more = ["--max-steps", "120", "--batch", "6", "--max-tokens", "20"]
    calm = ["--set", "network.decoder={dropout: 0.0}", "--set", "evaluation.every=end"]

    trained = tune(whisper, *words, *more, *calm, "--run", run, "--json")
    scored = run_here(
        "eval-seq2seq", "--model", run, "--data", small, "--run", tmp_path / "eval",
        "--max-tokens", "20", "--device", "cpu", "--json",
        # The corpus is tones, no speech.
        "--vad", "off",
    )  # fmt: skip

    assert trained.exit_code == scored.exit_code == 0
    assert json.loads(trained.stdout)["schema"] == "finetune-seq2seq/1"
    assert json.loads(scored.stdout)["wer"] <= 0.1


def test_tokens_that_are_right_are_shown_while_it_trains(whisper, small, tmp_path):
    result = tune(whisper, "--train", small, "--language", "en", "--run", tmp_path / "run")

    assert result.exit_code == 0
    assert "token accuracy" in result.stderr
    assert "blank" not in result.stderr


def test_without_data_it_says_what_is_missing(whisper):
    result = tune(whisper)

    assert result.exit_code == 3
    assert "train" in result.stderr


def test_a_ctc_model_is_refused_with_the_right_command(small, tmp_path):
    result = run_here("finetune-seq2seq", "--model", "demo", "--train", small)

    assert result.exit_code == 4
    assert "no decoder" in result.stderr


def test_fields_of_the_trainer_are_options_here_too(whisper, small):
    words = ["--train", small, "--language", "en", "--gradient-checkpointing", "--dry-run"]

    result = tune(whisper, *words, "--json")

    assert json.loads(result.stdout)["schema"] == "finetune-seq2seq-plan/1"

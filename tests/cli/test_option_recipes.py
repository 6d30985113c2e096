"""`--recipe` of commands that do not train: defaults for the options of the command line."""

import json

import pytest
from helpers import standins
from helpers.run import run_here
from helpers.tiny_models import save_tiny_model
from helpers.tiny_seq2seq import save_tiny_whisper
from helpers.tiny_text_models import save_tiny_text_model


@pytest.fixture(scope="module")
def librispeech(tmp_path_factory):
    return f"parquet:{standins.write_librispeech(tmp_path_factory.mktemp('data'))}"


@pytest.fixture(scope="module")
def uppercase_model(tmp_path_factory):
    """Write a model with an uppercase vocabulary, like wav2vec2-base-960h."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ',"
    return save_tiny_model(tmp_path_factory.mktemp("model") / "tiny", letters=letters)


@pytest.mark.parametrize(
    ("recipe", "dtype", "repeat"),
    [
        ("bench-wav2vec2-base-bf16", "bf16", 1),
        ("bench-wav2vec2-large-bf16", "bf16", 1),
        ("bench-wav2vec2-base-bf16-dummy", "bf16", 25),
        ("bench-wav2vec2-base-fp32", "fp32", 1),
        ("bench-wav2vec2-large-fp32", "fp32", 1),
        ("bench-wav2vec2-base-fp32-dummy", "fp32", 25),
    ],
)
def test_a_benchmark_takes_its_options_from_the_recipe(
    recipe, dtype, repeat, librispeech, uppercase_model
):
    words = [
        "--data",
        librispeech,
        "--model",
        uppercase_model,
        "--device",
        "cpu",
        "--json",
        "--quiet",
    ]

    result = run_here("bench", "--recipe", recipe, *words)

    answer = json.loads(result.stdout)
    assert result.exit_code == 0
    assert (answer["dtype"], answer["bucket_rule"], answer["repeat"]) == (dtype, "quantile", repeat)
    assert answer["score"]["utterances"] == answer["utterances"] == 3


def test_the_command_line_overrides_the_recipe(librispeech, uppercase_model):
    words = [
        "--data",
        librispeech,
        "--model",
        uppercase_model,
        "--device",
        "cpu",
        "--json",
        "--quiet",
    ]
    overrides = ["--dtype", "fp32", "--bucket-rule", "optimal", "--limit", 2]

    result = run_here("bench", *overrides, "--recipe", "bench-wav2vec2-base-bf16", *words)

    answer = json.loads(result.stdout)
    assert (answer["dtype"], answer["bucket_rule"], answer["utterances"]) == ("fp32", "optimal", 2)


def test_an_evaluation_takes_split_and_text_rules_from_its_recipe(
    librispeech, uppercase_model, tmp_path
):
    words = ["--data", librispeech, "--model", uppercase_model, "--run", tmp_path / "run"]

    result = run_here("eval-ctc", "--recipe", "eval-ctc-librispeech", *words, "--quiet", "--json")

    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert (result.exit_code, report["utterances"], report["dtype"]) == (0, 3, "bf16")
    assert report["data"]["split"] == "validation"
    assert "case='lower'" in json.loads(result.stdout)["normalizer"]


def test_a_recipe_for_another_command_exits_with_3_and_names_it(librispeech):
    result = run_here("eval-ctc", "--recipe", "demo", "--data", librispeech, "--model", "demo")

    assert result.exit_code == 3
    assert "gaudi-asr finetune-ctc --recipe" in result.stderr


def test_for_a_misspelled_recipe_the_nearest_is_suggested():
    result = run_here("bench", "--recipe", "bench-wav2vec-base-bf16")

    assert result.exit_code == 3
    assert "bench-wav2vec2-base-bf16" in result.stderr


def test_whisper_is_evaluated_with_the_options_of_its_recipe(tmp_path):
    hindi = standins.write_hub_common_voice(tmp_path / "hindi")
    model = save_tiny_whisper(tmp_path / "whisper")
    # The model is an argument here, and overrides the option in the recipe.
    words = [model, "--data", f"parquet:{hindi}", "--run", tmp_path / "run"]

    result = run_here("eval-seq2seq", "--recipe", "eval-whisper-small-cv-hi", *words, "--quiet")

    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert (result.exit_code, report["utterances"], report["dtype"]) == (0, 3, "bf16")
    assert report["data"]["split"] == "test"
    assert report["normalizer"] == "none/1 case='lower'"


@pytest.mark.parametrize("size", ["base", "large"])
def test_a_warm_start_takes_its_architecture_from_the_recipe(size, tmp_path):
    encoder = save_tiny_model(tmp_path / "encoder", head=False)
    decoder = save_tiny_text_model(tmp_path / "decoder")
    words = ["--encoder", encoder, "--decoder", decoder, "--out", tmp_path / "both", "--json"]

    result = run_here("create-seq2seq", "--recipe", f"create-wav2vec2-bart-{size}", *words)

    config = json.loads((tmp_path / "both" / "config.json").read_text())
    generation = json.loads((tmp_path / "both" / "generation_config.json").read_text())
    assert result.exit_code == 0
    assert config["encoder"]["num_adapter_layers"] == 3
    assert generation["num_beams"] == 5

"""Recognisers of phonemes through whole commands, on speech of espeak-ng."""

import json

import pytest
from helpers.run import run_here
from helpers.spoken import speak_corpus
from helpers.tiny_models import save_tiny_model

LANGUAGES = ("tr", "it", "sv")


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    root = tmp_path_factory.mktemp("spoken")
    return {language: speak_corpus(root / language, language) for language in LANGUAGES}


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """A stand-in for XLS-R: the same family, no head."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    return save_tiny_model(folder, "wav2vec2-layer-norm", head=False)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_phoneme_recipe_trains_two_steps_and_prints_a_phoneme_error_rate(
    language, corpora, pretrained, tmp_path
):
    data = corpora[language]
    words = ["--train", data, "--test", data, "--model", pretrained, "--run", tmp_path / "run"]
    # The recipe names splits of Common Voice; a manifest is one whole.
    whole = ["--set", "train.split=null", "--set", "test.split=null"]
    small = ["--max-steps", 2, "--dtype", "fp32", "--device", "cpu"]

    result = run_here(
        "finetune-ctc", "--recipe", f"ctc-xls-r-300m-cv-{language}-phonemes", *words, *whole, *small
    )

    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert (result.exit_code, report["steps"]) == (0, 2)
    assert "phoneme error rate" in result.stderr
    assert "word error rate" not in result.stderr
    test = report["test"]
    assert (test["unit"], test["utterances"]) == ("phoneme", 4)
    assert test["normalizer"].startswith(f"phonemes {language}, espeak-ng ")
    assert test["per"] > 0


def test_a_model_of_phonemes_is_scored_on_text_in_phonemes_too(corpora, pretrained, tmp_path):
    data, run = corpora["it"], tmp_path / "run"
    settings = ["--set", "text.unit=phoneme", "--set", "text.language=it"]
    words = ["--train", data, "--model", pretrained, "--run", run, "--max-steps", 1, "--quiet"]
    trained = run_here("finetune-ctc", *words, *settings, "--dtype", "fp32", "--device", "cpu")

    scored = run_here(
        "eval-ctc", run, "--data", data, "--run", tmp_path / "eval", "--json", "--quiet"
    )

    answer = json.loads(scored.stdout)
    lines = (tmp_path / "eval" / "predictions.jsonl").read_text().splitlines()
    assert trained.exit_code == 0
    assert (answer["unit"], answer["utterances"]) == ("phoneme", 4)
    assert json.loads(lines[-1])["reference"] == "s iː"  # noqa: RUF001


def test_a_model_of_phonemes_aligns_the_phonemes_of_a_text(corpora, pretrained, tmp_path):
    data, run = corpora["it"], tmp_path / "run"
    settings = ["--set", "text.unit=phoneme", "--set", "text.language=it"]
    words = ["--train", data, "--model", pretrained, "--run", run, "--max-steps", 1, "--quiet"]
    run_here("finetune-ctc", *words, *settings, "--dtype", "fp32", "--device", "cpu")
    audio = data.parent / "0.wav"

    done = run_here("align", audio, "tutti", "--model", run)
    unknown = run_here("align", audio, "ciao", "--model", run)

    line = json.loads(done.stdout)
    assert (done.exit_code, line["error"]) == (0, None)
    assert [word["word"] for word in line["words"]] == ["t", "u", "tː", "ɪ"]  # noqa: RUF001
    assert "those of the text are aligned (it)" in done.stderr
    assert unknown.exit_code == 4
    assert "phonemes that the model lacks: 'tʃ'" in unknown.stderr


def test_a_vocabulary_of_phonemes_is_shown_and_written(corpora, tmp_path):
    out = tmp_path / "vocab"

    result = run_here(
        "vocab", corpora["tr"], "--unit", "phoneme", "--language", "tr", "--out", out, "--json"
    )

    answer = json.loads(result.stdout)
    assert {"tʃ", "ø"} <= set(answer["counts"])
    assert "|" not in answer["tokens"]
    assert json.loads((out / "vocab.json").read_text())["tʃ"] == answer["tokens"].index("tʃ")


def test_phonemes_need_a_language(corpora, tmp_path):
    result = run_here("vocab", corpora["tr"], "--unit", "phoneme", "--out", tmp_path / "vocab")

    assert result.exit_code == 2
    assert "--language" in result.stderr


def test_a_phoneme_recipe_without_a_language_is_rejected(corpora):
    result = run_here("finetune-ctc", "--train", corpora["tr"], "--set", "text.unit=phoneme")

    assert result.exit_code == 3
    assert "language: tr" in result.stderr


def test_data_is_checked_against_the_phonemes_of_the_model(corpora, pretrained, tmp_path):
    folders = {}
    for language in ("sv", "tr"):
        folders[language] = tmp_path / language
        words = ["--unit", "phoneme", "--language", language, "--out", folders[language]]
        run_here("vocab", corpora[language], *words, "--quiet")

    answers = {
        language: json.loads(
            run_here("check", corpora["sv"], "--vocab", folder, "--json", "--quiet").stdout
        )
        for language, folder in folders.items()
    }

    (known,) = [one for one in answers["sv"]["findings"] if one["kind"] == "unknown_characters"]
    (foreign,) = [one for one in answers["tr"]["findings"] if one["kind"] == "unknown_characters"]
    assert (known["unit"], known["count"]) == ("phonemes", 0)
    assert known["of"] > 10
    assert foreign["of"] > 10

"""vocab, check and eval-ctc from the command line."""

import json

import pytest
from helpers.run import run_here


def test_a_vocabulary_is_written_and_shown(corpus, tmp_path):
    result = run_here("vocab", corpus, "--out", tmp_path / "vocab", "--strip_chars", "x")

    assert (result.exit_code, result.stdout) == (0, "")
    assert "LATIN SMALL LETTER E" in result.stderr
    assert (tmp_path / "vocab" / "vocab.json").is_file()


def test_a_vocabulary_as_json_is_one_object(corpus, tmp_path):
    result = run_here("vocab", corpus, "--out", tmp_path / "vocab", "--json", "--case", "upper")

    answer = json.loads(result.stdout)
    assert answer["schema"] == "vocab/1"
    assert answer["utterances"] == 12
    assert "E" in answer["tokens"]
    assert "e" not in answer["tokens"]


def test_check_reports_that_training_can_begin(corpus):
    result = run_here("check", corpus, "--json")

    answer = json.loads(result.stdout)
    assert (result.exit_code, answer["stops"], answer["utterances"]) == (0, False, 12)


def test_data_outside_the_vocabulary_ends_with_4(tmp_path, tiny_model, corpus):
    line = {"audio_filepath": str(corpus.with_name("u00.wav")), "text": "ДА", "duration": 0.5}
    (tmp_path / "manifest.jsonl").write_text(json.dumps(line, ensure_ascii=False))

    result = run_here("check", tmp_path / "manifest.jsonl", "--model", tiny_model)

    assert result.exit_code == 4
    assert "unknown characters" in result.stderr
    assert "Training would stop or fail." in result.stderr


@pytest.fixture(scope="module")
def evaluated(corpus, tiny_model, tmp_path_factory):
    run = tmp_path_factory.mktemp("eval") / "run"
    return run, run_here("eval-ctc", tiny_model, "--data", corpus, "--run", run, "--json")


def test_the_json_is_the_score(evaluated):
    answer = json.loads(evaluated[1].stdout)

    assert evaluated[1].exit_code == 0
    assert answer["schema"] == "eval-ctc/1"
    assert answer["utterances"] == answer["utterances_total"] == 12
    assert 0.0 < answer["wer_low"] <= answer["wer"] <= answer["wer_high"]


def test_the_word_error_rate_follows_from_the_predictions(evaluated):
    run, result = evaluated
    lines = [json.loads(line) for line in (run / "predictions.jsonl").read_text().splitlines()]

    errors = sum(one["substitutions"] + one["deletions"] + one["insertions"] for one in lines)
    words = sum(len(one["reference"].split()) for one in lines)
    assert json.loads(result.stdout)["wer"] == pytest.approx(errors / words)


def test_tables_are_for_people_and_fit_80_columns(corpus, tiny_model, tmp_path):
    result = run_here("eval-ctc", "--model", tiny_model, "--data", corpus, "--run", tmp_path / "r")

    assert result.stdout == ""
    assert "word error rate" in result.stderr
    assert "12 of 12 utterances" in result.stderr
    tables = [line for line in result.stderr.splitlines() if str(tmp_path) not in line]
    assert max(map(len, tables)) <= 80


def test_unreadable_audio_is_reported_and_ends_with_4(corpus, tiny_model, tmp_path):
    lines = [corpus.read_text().splitlines()[0].replace("u00.wav", str(corpus.parent / "u00.wav"))]
    lines.append(json.dumps({"audio_filepath": "missing.wav", "text": "one", "duration": 1.0}))
    (tmp_path / "manifest.jsonl").write_text("\n".join(lines))

    result = run_here(
        "eval-ctc", tiny_model, "--data", tmp_path / "manifest.jsonl", "--run", tmp_path / "run"
    )

    assert result.exit_code == 4
    assert "1 of 2 utterances" in result.stderr
    assert "missing.wav" in result.stderr


def test_a_run_folder_that_exists_is_rejected(corpus, tiny_model, tmp_path):
    result = run_here("eval-ctc", tiny_model, "--data", corpus, "--run", tmp_path)

    assert result.exit_code == 2
    assert str(tmp_path) in result.stderr

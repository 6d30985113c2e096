import json
from pathlib import Path

import pytest
from helpers.run import run_here
from helpers.tiny_corpus import write_corpus
from helpers.tiny_models import save_tiny_model
from helpers.tiny_seq2seq import save_tiny_whisper

WHISPER = Path("/tmp/models/tiny.en")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus"), utterances=7)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_tiny_whisper(tmp_path_factory.mktemp("whisper"))


def evaluate(model, corpus, run, *more):
    # Noise, of which a model with random weights makes text.
    words = ("--run", run, "--device", "cpu", "--vad", "off", "--temperature", 0)
    return run_here("eval-seq2seq", model, "--data", corpus, *words, *more)


def test_the_score_is_a_json_object_with_suspicious_hypotheses(model, corpus, tmp_path):
    done = evaluate(
        model, corpus, tmp_path / "run", "--language", "hindi", "--max-tokens", 6, "--json"
    )

    assert done.exit_code == 0, done.stderr
    score = json.loads(done.stdout)
    assert score["schema"] == "eval-seq2seq/1"
    assert score["utterances"] == score["utterances_total"] == 7
    assert score["wer"] > 0
    assert score["capped"] == sum(one["capped"] for one in score["suspects"]) > 0
    lines = (tmp_path / "run" / "predictions.jsonl").read_text().splitlines()
    assert len(lines) == 7
    assert json.loads(lines[0])["raw_reference"]
    assert json.loads((tmp_path / "run" / "report.json").read_text())["wer"] == score["wer"]


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.skipif(not WHISPER.is_dir(), reason=f"needs {WHISPER}")
@pytest.mark.parametrize("timestamps", ["none", "word"])
def test_confidences_of_words_are_written_on_request(timestamps, shared_data, tmp_path):
    run, spoken = tmp_path / "run", shared_data / "manifest_snippets.jsonl"

    done = evaluate(WHISPER, spoken, run, "--timestamps", timestamps, "--limit", 4)

    text = (run / "predictions.jsonl").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    assert (done.exit_code, len(lines)) == (0, 4)
    if timestamps == "none":
        assert not any("confidences" in line for line in lines)
        return
    for line in lines:
        assert len(line["confidences"]) == len(line["raw_hypothesis"].split())
        assert all(0 < one <= 1 for one in line["confidences"])


def test_the_score_does_not_depend_on_the_batch(model, corpus, tmp_path):
    scores = [
        json.loads(
            evaluate(
                model, corpus, tmp_path / f"run{batch}", "--batch", batch, "--dtype", "fp32",
                "--beams", 2, "--json",
            ).stdout
        )
        for batch in (1, 5)
    ]  # fmt: skip

    assert scores[0]["hits"] == scores[1]["hits"]
    assert scores[0]["raw"] == scores[1]["raw"]


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (("--language", "hindy"), 2, "Did you mean hindi?"),
        (("--task", "sing"), 2, "transcribe"),
        (("--limit", "0"), 2, "limit"),
    ],
)
def test_invalid_options_are_rejected(model, corpus, tmp_path, more, code, message):
    done = evaluate(model, corpus, tmp_path / "run", *more)

    assert done.exit_code == code
    assert message in done.stderr
    assert not (tmp_path / "run").exists()


def test_hindi_is_rejected_by_an_english_model(corpus, tmp_path):
    model = save_tiny_whisper(tmp_path / "english", multilingual=False)

    done = evaluate(model, corpus, tmp_path / "run", "--language", "hindi")

    assert done.exit_code == 2
    assert "is not multilingual" in done.stderr


def test_the_error_for_a_ctc_model_names_the_other_command(corpus, tmp_path):
    done = evaluate(save_tiny_model(tmp_path / "ctc"), corpus, tmp_path / "run")

    assert done.exit_code == 4
    assert "eval-ctc" in done.stderr

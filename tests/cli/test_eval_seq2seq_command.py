import json

import pytest
from helpers.run import run_here
from helpers.tiny_corpus import write_corpus
from helpers.tiny_models import save_tiny_model
from helpers.tiny_seq2seq import save_tiny_whisper


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus"), utterances=7)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_tiny_whisper(tmp_path_factory.mktemp("whisper"))


def evaluate(model, corpus, run, *more):
    return run_here("eval-seq2seq", model, "--data", corpus, "--run", run, "--device", "cpu", *more)


def test_the_score_is_a_json_object_with_what_looks_made_up(model, corpus, tmp_path):
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


def test_the_score_does_not_depend_on_who_is_written_together(model, corpus, tmp_path):
    scores = [
        json.loads(
            evaluate(
                model, corpus, tmp_path / f"run{rows}", "--batch", rows, "--dtype", "fp32",
                "--beams", 2, "--json",
            ).stdout
        )
        for rows in (1, 5)
    ]  # fmt: skip

    assert scores[0]["hits"] == scores[1]["hits"]
    assert scores[0]["raw"] == scores[1]["raw"]


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (("--language", "hindy"), 2, "Did you mean hindi?"),
        (("--task", "sing"), 2, "transcribe"),
        (("--limit", "0"), 2, "limit"),
    ],
)
def test_wrong_words_are_refused(model, corpus, tmp_path, more, code, said):
    done = evaluate(model, corpus, tmp_path / "run", *more)

    assert done.exit_code == code
    assert said in done.stderr
    assert not (tmp_path / "run").exists()


def test_an_english_model_cannot_be_told_hindi(corpus, tmp_path):
    model = save_tiny_whisper(tmp_path / "english", multilingual=False)

    done = evaluate(model, corpus, tmp_path / "run", "--language", "hindi")

    assert done.exit_code == 2
    assert "is not multilingual" in done.stderr


def test_a_ctc_model_is_sent_to_the_other_command(corpus, tmp_path):
    done = evaluate(save_tiny_model(tmp_path / "ctc"), corpus, tmp_path / "run")

    assert done.exit_code == 4
    assert "eval-ctc" in done.stderr

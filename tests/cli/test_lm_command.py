import gzip
import json

import pytest
from helpers.run import run_here

from gaudi_asr_cli.core.decoding.lm.arpa import read_arpa

TEXT = "one two three\nfour five\n\none two four\nTwo one, three\n"


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def test_a_model_of_a_text_file_is_written_with_its_sizes(tmp_path, text):
    out = tmp_path / "lm.arpa.gz"

    done = run_here("lm", text, "--order", 2, "--out", out, "--held-out", text, "--json")

    report = json.loads(done.stdout)
    assert done.exit_code == 0
    assert report["schema"] == "lm/1"
    assert (report["order"], report["sentences"], report["words"]) == (2, 4, 11)
    assert report["ngrams"] == list(read_arpa(out).count_ngrams())
    assert report["vocabulary"] == 7
    assert 1 < report["perplexity"] < 10
    assert report["held_out_unknown"] == 0


def test_text_is_cleaned_as_it_is_asked(tmp_path, text):
    packed = tmp_path / "text.gz"
    packed.write_bytes(gzip.compress(text.read_bytes()))
    out = tmp_path / "lm.arpa"

    run_here("lm", packed, "--out", out, "--case", "lower", "--strip-chars", ",")

    assert set(read_arpa(out).vocabulary) == {
        "<unk>", "<s>", "</s>", "one", "two", "three", "four", "five",
    }  # fmt: skip


def test_transcripts_of_data_are_text_too(tmp_path):
    manifest = tmp_path / "data.jsonl"
    manifest.write_text('{"audio_filepath": "a.wav", "text": "ab b"}\n', encoding="utf-8")
    out = tmp_path / "lm.arpa"

    done = run_here("lm", manifest, "--out", out, "--unit", "character", "--order", 4)

    assert done.exit_code == 0
    assert {"a", "b", "|"} <= set(read_arpa(out).vocabulary)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--order", "0"), 2, "--order 0 is no length of n-grams"),
        (("--prune", "2,1"), 2, "--prune must not fall"),
        (("--prune", "x"), 2, "these are no counts"),
        (("--held-out", "empty.txt"), 4, "There is no text in"),
    ],
)
def test_a_mistake_is_an_error_with_its_reason(tmp_path, text, words, code, message, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.txt").write_text("\n", encoding="utf-8")

    done = run_here("lm", text, "--out", tmp_path / "lm.arpa", *words)

    assert (done.exit_code, message in done.stderr) == (code, True)
    assert not (tmp_path / "lm.arpa").exists()


def test_a_file_is_replaced_only_on_request(tmp_path, text):
    out = tmp_path / "lm.arpa"
    out.write_text("mine", encoding="utf-8")

    assert run_here("lm", text, "--out", out).exit_code == 2
    assert out.read_text(encoding="utf-8") == "mine"
    assert run_here("lm", text, "--out", out, "--overwrite").exit_code == 0


def test_a_line_that_is_not_utf_8_is_named(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes("gut\nsch\u00f6n\n".encode("latin-1"))

    done = run_here("lm", path, "--out", tmp_path / "lm.arpa")

    assert done.exit_code == 4
    assert "text.txt, line 2: byte 4 is not UTF-8" in done.stderr

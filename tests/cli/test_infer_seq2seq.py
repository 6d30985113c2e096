"""`infer` with an encoder-decoder: the same formats."""

import json

import numpy as np
import pytest
import soundfile
import srt
import webvtt
from helpers.run import run_here
from helpers.tiny_seq2seq import save_tiny_whisper


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_tiny_whisper(tmp_path_factory.mktemp("whisper"))


def infer(model, *more):
    words = ("--model", model, "--device", "cpu", "--dtype", "fp32", "--vad", "off")
    return run_here("infer", *more, *words)


def test_files_give_path_tab_text_in_order(model, corpus):
    files = [corpus.with_name(f"u0{number}.wav") for number in (2, 0, 1)]

    done = infer(model, *files, "--language", "hindi", "--max-tokens", 8)

    assert done.exit_code == 0, done.stderr
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == list(map(str, files))


def test_json_has_the_detected_language_and_word_times(model, corpus):
    done = infer(model, corpus.with_name("u02.wav"), "--json")

    line = json.loads(done.stdout)
    assert line["language"] in {"en", "hi", "de", "zh"}
    spoken = "".join(word["word"] for word in line["words"])
    assert spoken == "".join(line["text"].split())
    times = [time for word in line["words"] for time in (word["start_s"], word["end_s"])]
    assert times == sorted(times)
    assert all(0 <= word["confidence"] <= 1 for word in line["words"])


def test_subtitles_are_valid(model, corpus, tmp_path):
    done = infer(
        model, corpus.with_name("u02.wav"), "--language", "de", "--out-dir", tmp_path / "out",
        "-f", "srt", "-f", "vtt", "-f", "tsv", "-f", "ctm", "-f", "json",
    )  # fmt: skip

    assert done.exit_code == 0, done.stderr
    cues = list(srt.parse((tmp_path / "out" / "u02.srt").read_text()))
    assert cues
    assert len(webvtt.read(tmp_path / "out" / "u02.vtt")) == len(cues)
    assert json.loads((tmp_path / "out" / "u02.json").read_text())["language"] == "de"
    assert len((tmp_path / "out" / "u02.ctm").read_text().splitlines()[0].split()) == 6


def test_a_bad_file_costs_only_itself(model, corpus, tmp_path):
    broken = tmp_path / "broken.wav"
    broken.write_text("this is no sound")

    done = infer(model, broken, corpus.with_name("u00.wav"), "--language", "en")

    assert done.exit_code == 4
    assert len(done.stdout.splitlines()) == 1
    assert f"error: {broken}" in done.stderr


def test_batching_can_be_checked(model, corpus):
    files = [corpus.with_name(f"u0{number}.wav") for number in range(4)]

    done = infer(model, *files, "--language", "en", "--check-batching", 4, "--max-tokens", 10)

    assert done.exit_code == 0
    assert "Batching checked on 4 files: the same text" in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("more", "message"),
    [(("--language", "hindy"), "Did you mean hindi?"), (("--int8",), "for CTC models only")],
)
def test_options_that_the_model_lacks_are_rejected(model, corpus, more, message):
    done = infer(model, corpus.with_name("u00.wav"), *more)

    assert done.exit_code == 2
    assert message in done.stderr


def test_a_ctc_model_has_no_task(tiny_model, corpus):
    done = infer(tiny_model, corpus.with_name("u00.wav"), "--task", "translate")

    assert done.exit_code == 2
    assert "is a CTC model" in done.stderr


MEASURES = {
    "temperature", "avg_logprob", "compression_ratio", "no_speech_probability", "repetitive",
}  # fmt: skip


def test_json_has_the_measures_of_the_text_and_its_segments(model, corpus):
    done = infer(model, corpus.with_name("u02.wav"), "--json", "--temperature", "0")

    line = json.loads(done.stdout)
    assert line.keys() >= MEASURES | {"language_probability", "segments"}
    assert 0 < line["language_probability"] <= 1
    assert all(one.keys() >= MEASURES | {"text", "start_s", "end_s"} for one in line["segments"])


def test_fallback_samples_the_same_text_with_the_same_seed(model, corpus):
    clip = corpus.with_name("u02.wav")
    words = (clip, "--json", "--temperature", "0,0.9", "--logprob-threshold", "0")

    first, again, other = (
        json.loads(infer(model, *words, "--seed", seed).stdout) for seed in (1, 1, 2)
    )

    assert first["temperature"] == 0.9
    assert first["text"] == again["text"]
    assert first["text"] != other["text"]


@pytest.mark.parametrize("words", ["0,high", "0,-1", ""])
def test_temperatures_that_are_none_are_a_usage_error(model, corpus, words):
    done = infer(model, corpus.with_name("u02.wav"), "--temperature", words)

    assert done.exit_code == 2
    assert "--temperature 0" in done.stderr or "Pass one, such as 0" in done.stderr


@pytest.mark.parametrize("long", ["sequential", "batched"])
@pytest.mark.parametrize("seconds", [1, 40])
def test_silence_has_no_text_and_no_speech_by_default(model, tmp_path, long, seconds):
    soundfile.write(tmp_path / "silence.wav", np.zeros(seconds * 16_000), 16_000)

    done = run_here(
        "infer", tmp_path / "silence.wav", "--model", model, "--device", "cpu", "--json",
        "--long", long,
    )  # fmt: skip

    line = json.loads(done.stdout)
    assert (line["text"], line["words"], line["speech_s"]) == ("", [], 0)
    assert line["duration_s"] == seconds

import json

import numpy as np
import pytest
import soundfile
from helpers.run import run_here

from gaudi_asr_cli.core.records import WordTiming
from gaudi_asr_cli.core.workflows.align import cut_segments


@pytest.fixture
def audio(tmp_path):
    """A second and a half of noise."""
    path = tmp_path / "a.wav"
    samples = 0.05 * np.random.default_rng(0).standard_normal(24_000)
    soundfile.write(path, samples, 16_000)
    return path


def align(*words):
    return run_here("align", *words, "--model", "demo")


def test_each_word_and_character_has_a_time_and_a_score(audio):
    done = align(audio, "One, two!")

    line = json.loads(done.stdout)
    assert done.exit_code == 0
    assert (line["schema"], line["id"], line["error"]) == ("align/1", "a.wav", None)
    assert [word["word"] for word in line["words"]] == ["One,", "two!"]
    assert [one["character"] for one in line["words"][0]["characters"]] == list("one")
    times = [time for word in line["words"] for time in (word["start_s"], word["end_s"])]
    assert times == sorted(times)
    assert 0 <= times[0] <= times[-1] <= 1.5
    assert line["score"] < 0
    assert all(0 <= word["score"] <= 1 for word in line["words"])


def test_the_text_may_stand_in_a_file(tmp_path, audio):
    text = tmp_path / "text.txt"
    text.write_text("one\ntwo\n", encoding="utf-8")

    assert align(audio, text).stdout == align(audio, "one two").stdout


@pytest.mark.parametrize(
    ("name", "beginning"),
    [("ctm", "a 1 0."), ("TextGrid", 'File type = "ooTextFile"'), ("srt", "1\n00:00:0")],
)
def test_words_are_written_in_each_format(audio, name, beginning):
    done = align(audio, "one two", "--format", name)

    assert done.exit_code == 0
    assert done.stdout.startswith(beginning)
    assert "two" in done.stdout


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("one 2", "has digits ('2'), and the model has none: write numbers as the words"),
        ("zwölf", "characters that the model lacks: 'l', 'ö' in 'zwölf'"),
        ("one two " * 50, "longer than its audio"),
        ("  ", "The text is empty"),
        ("?!", "has no letter that the model knows"),
    ],
)
def test_a_text_that_does_not_fit_has_its_reason(audio, text, message):
    done = align(audio, text)

    assert (done.exit_code, message in done.stderr) == (4, True)
    assert "try:" in done.stderr


def test_data_is_aligned_with_its_worst_fits_first_and_cut_into_segments(tmp_path, audio):
    lines = [
        {"audio_filepath": "a.wav", "text": text, "id": str(index)}
        for index, text in enumerate(["one two", "nine eight seven six", "3"])
    ]
    manifest = tmp_path / "data.jsonl"
    manifest.write_text("\n".join(map(json.dumps, lines)) + "\n", encoding="utf-8")
    segments = tmp_path / "segments.jsonl"

    done = align(manifest, "--segments", segments)

    results = [json.loads(line) for line in done.stdout.splitlines()]
    cut = [json.loads(line) for line in segments.read_text(encoding="utf-8").splitlines()]
    assert done.exit_code == 4
    assert [one["error"] is None for one in results] == [True, True, False]
    assert "worst fits" in done.stderr
    assert " ".join(one["text"] for one in cut) == "one two nine eight seven six"
    assert all(one["duration"] > 0 for one in cut)
    assert align(manifest, "--segments", segments).exit_code == 2


def test_missing_audio_is_an_error_with_its_name(tmp_path):
    done = align(tmp_path / "gone.wav", "one")

    assert (done.exit_code, "there is no such audio file" in done.stderr) == (4, True)


def test_segments_end_at_pauses_and_long_ones_at_their_longest_gap():
    def word(start_s, end_s):
        return WordTiming("w", start_s, end_s, 1.0)

    speech = [word(0, 1), word(1.1, 2), word(3, 4)]
    endless = [word(i, i + (0.8 if i == 11 else 0.95)) for i in range(24)]

    assert [len(one) for one in cut_segments(speech)] == [2, 1]
    assert [len(one) for one in cut_segments(endless)] == [12, 12]
    assert list(cut_segments([])) == []

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest
import soundfile
import soxr
from helpers.run import run_here
from helpers.tiny_models import save_tiny_model
from helpers.tiny_seq2seq import save_tiny_whisper

from gaudi_asr_cli.core.data.espeak import ESPEAK_RATE_HZ, open_espeak

SPOKEN = ("one two three", "four five six", "seven eight nine", "zero one two")
TEXTS = ("one two three", "four FIVE, six", "seven nine", "zero one two")
"""The third lacks a word; case and punctuation of the second are no errors."""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A manifest of spoken digits, and three texts that cannot be aligned."""
    folder = tmp_path_factory.mktemp("fits")
    lines = []
    with open_espeak() as espeak:
        for index, spoken in enumerate(SPOKEN):
            speech = espeak.synthesise(spoken, voice="en+m3", rate_wpm=150, pitch=45)
            samples = np.pad(soxr.resample(speech, ESPEAK_RATE_HZ, 16_000), 2400)
            soundfile.write(folder / f"{index}.wav", samples, 16_000)
            lines.append({"id": f"u{index}", "audio_filepath": f"{index}.wav"})
    texts = [*TEXTS, "one " * 500, "1 2 3", "один"]
    lines += [{"id": f"u{4 + index}", "audio_filepath": "0.wav"} for index in range(3)]
    manifest = folder / "data.jsonl"
    rows = [json.dumps({**line, "text": text}) for line, text in zip(lines, texts, strict=True)]
    manifest.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return manifest


def test_the_worst_fit_is_listed_first_and_texts_that_cannot_be_aligned_have_reasons(data):
    done = run_here("check", data, "--model", "demo", "--align", "--worst", "3", "--json")

    alignment = json.loads(done.stdout)["alignment"]
    worst = alignment["worst"]
    assert (alignment["aligned"], alignment["misfits"]) == (4, 1)
    assert worst[0]["id"] == "u2"
    assert (worst[0]["reference"], worst[0]["hypothesis"]) == ("seven nine", "seven eight nine")
    assert len(worst) == 3
    assert all(one["worst_score"] > -15 for one in worst[1:])
    reasons = dict(reason.split(": ", 1) for reason in alignment["not_aligned"])
    assert "longer than its audio" in reasons["u4"]
    assert "write numbers as the words" in reasons["u5"]
    assert "characters that the model lacks" in reasons["u6"]


def test_both_findings_are_in_the_table_and_align_stays_optional(data):
    shown = run_here("check", data, "--align-model", "demo").stderr
    without = run_here("check", data, "--model", "demo").stderr

    assert "misfits" in shown
    assert "not aligned" in shown
    assert "seven eight nine" in shown
    assert "misfits" not in without


@pytest.mark.parametrize(
    ("save", "message"),
    [
        (None, "needs a model"),
        (partial(save_tiny_model, head=False), "was pretrained only"),
        (save_tiny_whisper, "is no CTC model"),
    ],
)
def test_a_model_that_cannot_align_is_named(data, tmp_path, save, message):
    model = [] if save is None else ["--model", save(tmp_path / "model")]

    done = run_here("check", data, "--align", *model)

    assert (done.exit_code, message in done.stderr) == (2, True)
    assert "--align-model" in done.stderr

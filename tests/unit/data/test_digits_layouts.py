"""The five layouts of the shared corpus builder: one corpus, read five ways."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gaudi_asr_cli.core.data.audio import load_audio
from gaudi_asr_cli.core.data.measure import measure
from gaudi_asr_cli.core.data.sources import read_utterances

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
SPLITS = {"librispeech": "{}-clean"}
LAYOUTS = ("manifest", "kaldi", "librispeech", "audiofolder", "commonvoice")

pytestmark = pytest.mark.skipif(
    not (SHARED / "make_connected_digits.py").is_file(),
    reason="needs the development data beside the checkout (../shared)",
)


@pytest.fixture(scope="module", params=LAYOUTS)
def corpus(request, tmp_path_factory):
    out = tmp_path_factory.mktemp(request.param)
    subprocess.run(
        [
            *(sys.executable, SHARED / "make_connected_digits.py", "--fsdd", SHARED / "fsdd"),
            *("--out", out, "--layout", request.param, "--resampler", "soxr", "--seed", "0"),
            *("--max-digits", "7", "--train", "12", "--dev", "4", "--test", "8"),
        ],
        check=True,
        capture_output=True,
    )
    lines = (out / "alignments.jsonl").read_text().splitlines()
    return request.param, out, [json.loads(line) for line in lines]


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_ids_durations_and_texts_are_those_of_the_builder(corpus, split):
    layout, out, alignments = corpus
    expected = {line["utt"]: line for line in alignments if line["split"] == split}

    measured = measure(read_utterances(f"{out}#{SPLITS.get(layout, '{}').format(split)}"))

    found = {utterance.id: utterance for utterance in measured.utterances}
    assert measured.broken == ()
    assert set(found) == set(expected)
    for name, utterance in found.items():
        line = expected[name]
        assert utterance.audio.duration_s == pytest.approx(line["duration"], abs=0.01)
        assert utterance.text.lower().rstrip(".") == line["text"]
        assert utterance.speaker
        loaded = load_audio(utterance.audio)
        assert loaded.lost_s == 0.0
        assert len(loaded.samples) / 16_000 == pytest.approx(line["duration"], abs=0.01)


def test_words_are_audible_where_the_builder_put_them(corpus):
    layout, out, alignments = corpus
    expected = {line["utt"]: line for line in alignments if line["split"] == "test"}

    utterances = list(read_utterances(f"{out}#{SPLITS.get(layout, '{}').format('test')}"))

    for utterance in utterances:
        samples = load_audio(utterance.audio).samples
        spoken = np.zeros(len(samples), dtype=bool)
        for word in expected[utterance.id]["words"]:
            spoken[int(word["start"] * 16_000) : int(word["end"] * 16_000)] = True
        assert np.square(samples[spoken]).mean() > 50 * np.square(samples[~spoken]).mean()

"""The times that `infer` gives are those that a list may name: one clock in every container."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
from helpers.audio_files import mux
from helpers.run import run_here

from gaudi_asr_cli.core.data.audio import load_audio
from gaudi_asr_cli.core.data.sources import read_utterances

LATE_S = 2.0
WORDS = 7
MARGIN_S = 0.1
"""Word times end with the last frame that says so, a little before the sound does."""

Cue = tuple[float, float, str]


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> Path:
    """Return a container in which speech starts late."""
    first = next(iter(read_utterances("demo#test")))
    path = tmp_path_factory.mktemp("clock") / "a.mkv"
    mux(path, "pcm_s16le", load_audio(first.audio).samples, late_s=LATE_S)
    return path


def read_jsonl(text: str) -> list[Cue]:
    words = json.loads(text)["words"]
    return join([(one["start_s"], one["end_s"], one["word"]) for one in words])


def read_ctm(text: str) -> list[Cue]:
    rows = [line.split() for line in text.splitlines()]
    return join([(float(row[2]), float(row[2]) + float(row[3]), row[4]) for row in rows])


def join(words: list[Cue]) -> list[Cue]:
    """Join words to two phrases that meet in the middle of the pause between them."""
    half = len(words) // 2
    middle_s = (words[half - 1][1] + words[half][0]) / 2
    texts = [" ".join(text for _, _, text in part) for part in (words[:half], words[half:])]
    return [(words[0][0], middle_s, texts[0]), (middle_s, words[-1][1] + MARGIN_S, texts[1])]


def read_tsv(text: str) -> list[Cue]:
    rows = list(csv.DictReader(text.splitlines(), delimiter="\t"))
    return [(int(row["start"]) / 1000, int(row["end"]) / 1000, row["text"]) for row in rows]


def read_subtitles(text: str) -> list[Cue]:
    found = re.findall(r"([\d:.,]+) --> ([\d:.,]+)\n(.*?)(?:\n\n|\Z)", text, re.DOTALL)
    return [(clock(start), clock(end), " ".join(words.split())) for start, end, words in found]


def clock(text: str) -> float:
    seconds = 0.0
    for part in text.replace(",", ".").split(":"):
        seconds = seconds * 60 + float(part)
    return seconds


READERS = {
    "jsonl": read_jsonl,
    "ctm": read_ctm,
    "tsv": read_tsv,
    "srt": read_subtitles,
    "vtt": read_subtitles,
}


@pytest.fixture(scope="module")
def written(recording) -> Path:
    formats = [word for name in READERS for word in ("--format", name)]
    out = recording.parent / "out"
    result = run_here("infer", "--model", "demo", *formats, "--out-dir", out, recording)
    assert result.exit_code == 0, result.stderr
    return out


@pytest.mark.parametrize("form", READERS)
def test_times_of_infer_as_a_list_evaluate_without_an_error(recording, written, tmp_path, form):
    cues = READERS[form]((written / f"a.{form}").read_text())
    rows = [
        {
            "audio_filepath": str(recording),
            "offset": round(start_s, 3),
            "duration": round(end_s - start_s, 3),
            "text": text,
        }
        for start_s, end_s, text in cues
    ]
    listed = tmp_path / "t.jsonl"
    listed.write_text("".join(json.dumps(row) + "\n" for row in rows))

    result = run_here("eval-ctc", "--model", "demo", "--data", listed, "--run", tmp_path / "run")

    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert result.exit_code == 0, result.stderr
    assert cues[0][0] == pytest.approx(LATE_S, abs=0.15)
    assert report["wer"] == 0.0
    assert report["hits"] == WORDS


def test_json_lines_of_infer_are_themselves_a_list(written, tmp_path):
    listed = written / "a.jsonl"

    result = run_here("eval-ctc", "--model", "demo", "--data", listed, "--run", tmp_path / "run")

    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert result.exit_code == 0, result.stderr
    assert (report["wer"], report["hits"]) == (0.0, WORDS)

"""Recordings of several audio tracks: every command reads the one that was chosen, and says so."""

from __future__ import annotations

import json
from itertools import islice

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.audio_files import mux
from helpers.run import run_here

from gaudi_asr_cli.core.data.audio import load_audio
from gaudi_asr_cli.core.data.sources import read_utterances

NOTE = "it has 2 audio tracks (0: eng, 1: tur); track {} is read"


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """Return a file with other speech in each track, and the texts of the tracks."""
    first, second = islice(read_utterances("demo#test"), 2)
    path = tmp_path_factory.mktemp("tracks") / "a.mka"
    samples = [load_audio(one.audio).samples for one in (first, second)]
    mux(path, "pcm_s16le", samples[0], languages=("eng", "tur"), other=samples[1])
    return path, [first.text, second.text]


def write_list(folder, rows):
    path = folder / "t.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_list_names_the_track_of_each_row_and_infer_writes_such_a_list(recording, tmp_path):
    path, texts = recording
    rows = [
        {"audio": str(path), "track": track, "text": text}
        for track, text in ((0, texts[0]), ("1", texts[1]))
    ]

    result = run_here(
        "eval-ctc", "--model", "demo", "--data", write_list(tmp_path, rows), "--json",
        "--run", tmp_path / "run",
    )  # fmt: skip
    inferred = run_here("infer", "--model", "demo", "--track", "1", path, "--json")
    (tmp_path / "again.jsonl").write_text(inferred.stdout)
    again = run_here(
        "eval-ctc", "--model", "demo", "--data", tmp_path / "again.jsonl", "--json",
        "--run", tmp_path / "run2",
    )  # fmt: skip

    assert json.loads(result.stdout)["wer"] == 0.0, result.stderr
    assert "audio tracks" not in result.stderr + inferred.stderr
    line = json.loads(inferred.stdout)
    assert (line["track"], line["text"]) == (1, texts[1])
    assert json.loads(again.stdout)["wer"] == 0.0
    assert json.loads(again.stdout)["reference_words"] == len(texts[1].split())


def test_a_column_of_parquet_names_the_track_too(recording, tmp_path):
    path, texts = recording
    audio = {"bytes": path.read_bytes(), "path": path.name}
    rows = [{"audio": audio, "track": track, "text": texts[track]} for track in (0, 1)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "data.parquet")

    result = run_here(
        "eval-ctc", "--model", "demo", "--data", tmp_path / "data.parquet", "--json",
        "--run", tmp_path / "run",
    )  # fmt: skip

    assert json.loads(result.stdout)["wer"] == 0.0, result.stderr
    assert "audio tracks" not in result.stderr


@pytest.mark.parametrize(("language", "track"), [(None, 0), ("tr", 1)])
def test_evaluation_reads_the_track_of_its_language_and_says_which(
    recording, tmp_path, language, track
):
    path, texts = recording
    listed = write_list(tmp_path, [{"audio": str(path), "text": texts[track]}])
    chosen = () if language is None else ("--language", language)

    result = run_here(
        "eval-ctc", "--model", "demo", "--data", listed, "--json", "--run", tmp_path / "run",
        *chosen,
    )  # fmt: skip

    assert json.loads(result.stdout)["wer"] == 0.0, result.stderr
    assert NOTE.format(f"{track}, tr," if language else track)[:50] in result.stderr
    assert f"track {track}" in result.stderr
    assert "column `track`" in result.stderr


def test_check_reports_a_track_that_is_not_there_and_a_title_is_no_track(recording, tmp_path):
    path, texts = recording
    rows = [
        {"audio": str(path), "text": texts[0], "track": value}
        for value in (0, 2, -1, "Bohemian Rhapsody")
    ]

    result = run_here("check", write_list(tmp_path, rows), "--json")

    report = json.loads(result.stdout)
    shown = json.dumps(report)
    assert result.exit_code == 4, result.stderr
    assert "there is no audio track 2, the file has 2 audio tracks (0: eng, 1: tur)" in shown
    assert "'track' is -1, not the number of an audio track from 0" in shown
    assert NOTE.format(0) in result.stderr

"""Every command has the same length for every container, whatever its header declares."""

from __future__ import annotations

import json

import pytest
from helpers.run import run_here
from helpers.tiny_models import save_tiny_model
from helpers.tiny_seq2seq import save_tiny_whisper
from test_containers import TABLE

from gaudi_asr_cli.core.data.audio import read_rate_hz
from gaudi_asr_cli.core.records import AudioSpan

TEXT = "one two"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Return every file of the table, by its path, with where its audio ends."""
    root = tmp_path_factory.mktemp("containers")
    made = []
    for maker, state in TABLE:
        folder = root / f"{maker.__name__} {state}"
        folder.mkdir()
        made.append(maker(folder, state))
    return {str(one.path): one for one in made}


@pytest.fixture(scope="module")
def listed(files, tmp_path_factory):
    """Return a list of all files, and the models."""
    root = tmp_path_factory.mktemp("listed")
    rows = [{"audio": path, "text": TEXT} for path in files]
    (root / "all.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    save_tiny_model(root / "ctc", letters="efhnorstuw")
    save_tiny_whisper(root / "whisper")
    return root


def require_lengths(found, files):
    assert found.keys() == files.keys()
    for path, seconds in found.items():
        assert seconds == pytest.approx(files[path].end_s, abs=files[path].tolerance_s), path


@pytest.mark.slow
def test_all_commands_agree_on_the_length_of_every_container(files, listed, tmp_path, capfd):
    data = listed / "all.jsonl"
    ctc = ("--model", listed / "ctc", "--device", "cpu")
    whisper = ("--model", listed / "whisper", "--language", "en", "--max-tokens", 1)

    inferred = run_here("infer", *files, *ctc, "--json", "--quiet")
    checked = run_here("check", data, "--model", listed / "ctc", "--json", "--quiet")
    run_here("eval-ctc", *ctc, "--data", data, "--run", tmp_path / "ctc", "--quiet")
    run_here("eval-seq2seq", *whisper, "--data", data, "--run", tmp_path / "seq2seq", "--quiet")
    trained = run_here(
        "finetune-ctc", *ctc, "--train", data, "--eval", data, "--run", tmp_path / "run",
        "--max-steps", 1, "--set", "eval.limit=1", "--set", "batching.batch=2", "--quiet",
    )  # fmt: skip

    lines = [json.loads(line) for line in inferred.stdout.splitlines()]
    inferred_s = {line["path"]: line["duration_s"] for line in lines}
    require_lengths(inferred_s, files)
    for name in ("ctc", "seq2seq"):
        predictions = (tmp_path / name / "predictions.jsonl").read_text().splitlines()
        scored = [json.loads(line) for line in predictions]
        assert {one["path"]: one["duration_s"] for one in scored} == pytest.approx(
            inferred_s, abs=0.001
        )
    total_s = sum(inferred_s.values())
    report = json.loads(checked.stdout)
    assert (report["utterances"], report["inspected"]) == (len(files), len(files))
    assert report["hours"] * 3600 == pytest.approx(total_s, abs=0.001 * len(files))
    assert trained.exit_code == 0, trained.stderr
    assert "Xing" not in capfd.readouterr().err
    events = map(json.loads, (tmp_path / "run" / "events.jsonl").read_text().splitlines())
    (started,) = [one for one in events if one["event"] == "TrainingStarted"]
    assert started["utterances"] == len(files)
    assert started["audio_s"] == pytest.approx(total_s, abs=0.001 * len(files))


def test_the_sample_rate_of_every_container_is_known(files):
    rates = {path: read_rate_hz(AudioSpan(one.path)) for path, one in files.items()}

    opus = {path: 48_000 for path in files if path.endswith((".opus", ".webm"))}
    assert opus
    assert rates == dict.fromkeys(files, 16_000) | opus

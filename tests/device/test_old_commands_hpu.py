"""Commands of the old READMEs with --use_habana, on a stand-in Gaudi."""

from __future__ import annotations

import json

import pytest
from helpers.standin_device import TESTS, run_python

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    out = tmp_path_factory.mktemp("old")
    printed = run_python(TESTS / "device" / "drive_old_commands.py", out)
    return json.loads(printed.splitlines()[-1])


def test_every_gaudi_command_succeeds(done):
    failed = {name: one["stderr"] for name, one in done.items() if one["exit_code"] != 0}

    assert failed == {}
    assert len(done) == 8


def test_ctc_training_commands_train_two_steps(done):
    for name in ("ctc-librispeech-hpu", "ctc-librispeech-8-hpus"):
        report = json.loads(done[name]["stdout"])
        assert (report["device"], report["dtype"], report["steps"]) == ("hpu", "bf16", 2)
        assert report["eval"]["utterances"] == 3


def test_seq2seq_models_are_trained_and_scored(done):
    for name in ("whisper-small-hpu", "whisper-large-8-hpus"):
        report = json.loads(done[name]["stdout"])
        assert (report["device"], report["steps"]) == ("hpu", 2)
    assert json.loads(done["whisper-small-hpu-score"]["stdout"])["utterances"] == 3


def test_benchmarks_capture_graphs(done):
    benches = {name: one for name, one in done.items() if name.startswith("bench")}

    assert len(benches) == 2
    for one in benches.values():
        report = json.loads(one["stdout"])
        assert (report["device"], report["graphs"]) == ("hpu", True)
        assert report["graphs_captured"] >= 1

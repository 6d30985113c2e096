"""Commands of the READMEs that say --use_habana, on a stand-in Gaudi."""

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


def test_every_command_for_a_gaudi_runs_on_one(done):
    failed = {name: one["stderr"] for name, one in done.items() if one["exit_code"] != 0}

    assert failed == {}
    assert len(done) == 8


def test_training_commands_train_two_steps_on_it(done):
    for name in ("ctc-librispeech-hpu", "ctc-librispeech-8-hpus"):
        account = json.loads(done[name]["stdout"])
        assert (account["device"], account["dtype"], account["steps"]) == ("hpu", "bf16", 2)
        assert account["eval"]["utterances"] == 3


def test_models_that_write_train_and_are_scored_on_it(done):
    for name in ("whisper-small-hpu", "whisper-large-8-hpus"):
        account = json.loads(done[name]["stdout"])
        assert (account["device"], account["steps"]) == ("hpu", 2)
    assert json.loads(done["whisper-small-hpu-score"]["stdout"])["utterances"] == 3


def test_benchmarks_capture_graphs_as_they_ask(done):
    benches = {name: one for name, one in done.items() if name.startswith("bench")}

    assert len(benches) == 2
    for one in benches.values():
        account = json.loads(one["stdout"])
        assert (account["device"], account["graphs"]) == ("hpu", True)
        assert account["graphs_captured"] >= 1

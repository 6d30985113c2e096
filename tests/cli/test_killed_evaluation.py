"""An evaluation that was killed leaves a folder that can be used again; a running one is safe."""

import json
import os
import signal
import subprocess
import sys

from helpers.run import clean_environment, run_here
from helpers.tiny_corpus import write_corpus
from helpers.tiny_models import save_tiny_model

from gaudi_asr_cli.core.run_lock import hold_lock

KILLED = """
import os, signal, sys
from gaudi_asr_cli.core.workflows import evaluation
evaluation.count_confusions = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
from gaudi_asr_cli.cli.app import main
main(sys.argv[1:])
"""
"""Ends when the predictions are written and the report is not."""


def words(tmp_path):
    data = ("--data", tmp_path / "corpus" / "manifest.jsonl", "--run", tmp_path / "run")
    return ("eval-ctc", "--model", tmp_path / "model", *data, "--quiet")


def test_the_folder_of_a_killed_evaluation_is_used_again(tmp_path):
    save_tiny_model(tmp_path / "model", letters="efhnorstuw")
    write_corpus(tmp_path / "corpus", utterances=2)
    command = [sys.executable, "-c", KILLED, *words(tmp_path)]
    killed = subprocess.run(command, env=clean_environment(), check=False)
    assert killed.returncode == -signal.SIGKILL
    (tmp_path / "run" / "predictions.jsonl").rename(tmp_path / "run" / ".predictions.jsonl.9.part")
    assert (tmp_path / "run" / ".lock").exists()

    with hold_lock(tmp_path / "run" / ".lock"):
        refused = run_here(*words(tmp_path))
    result = run_here(*words(tmp_path))

    assert refused.exit_code == 2
    assert f"is in use by process {os.getpid()}" in refused.stderr.replace("\n", " ")
    assert result.exit_code == 0, result.stderr
    assert json.loads((tmp_path / "run" / "report.json").read_text())["utterances"] == 2
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "predictions.jsonl",
        "report.json",
    }

"""Training of seq2seq models on a Gaudi equals that on a CPU, with the planned shapes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from test_hpu import TESTS, has_optimum, run_python, standin_environment

pytestmark = pytest.mark.slow
MODELS = ("Bart", "GPT2", "whisper")


def drive(out: Path, device: str, mode: str) -> dict[str, Any]:
    env = {**os.environ, "PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1"}
    if device == "hpu":
        env = standin_environment()
    run_python(TESTS / "device" / "drive_seq2seq_training.py", out, device, mode, env=env)
    found: dict[str, Any] = json.loads((out / "found.json").read_text())
    return found


@pytest.fixture(scope="module")
def cpu(tmp_path_factory):
    return drive(tmp_path_factory.mktemp("cpu"), "cpu", "auto")


@pytest.mark.parametrize("mode", ["lazy", "eager"])
def test_losses_scores_and_evaluation_equal_those_of_a_cpu(cpu, tmp_path, mode):
    found = drive(tmp_path, "hpu", mode)

    optimum = mode == "lazy" and has_optimum()
    for model in MODELS:
        here, there = found[model], cpu[model]
        assert here["trainer"] == ("GaudiSeq2SeqTrainer" if optimum else "Trainer")
        assert here["losses"] == pytest.approx(there["losses"], rel=1e-3)
        assert here["accuracies"] == pytest.approx(there["accuracies"], abs=1e-6)
        assert here["shapes"] == there["shapes"]
        # Untrained networks have nearly equal logits: rounding may change one of the five texts.
        for texts in (there["hypotheses"], here["hypotheses_again"]):
            same = [one == other for one, other in zip(here["hypotheses"], texts, strict=True)]
            assert same.count(False) <= 1


def test_a_bucket_has_one_shape_for_encoder_and_decoder(cpu):
    # Two buckets of clips; Whisper pads to its window, so that it has one.
    assert len(cpu["Bart"]["shapes"]) <= 2
    assert len(cpu["whisper"]["shapes"]) == 1

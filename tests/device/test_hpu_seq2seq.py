"""Text generated on a Gaudi equals that of a CPU, with the planned decoder shapes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from test_hpu import TESTS, has_optimum, run_python, standin_environment

pytestmark = pytest.mark.slow
# A mode, and whether the process trains: optimum-habana then replaces models.
MODES = [("lazy",), ("eager",)] + ([("lazy", "trains")] if has_optimum() else [])


def drive(out: Path, device: str, *mode: str) -> dict[str, Any]:
    env = {**os.environ, "PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1"}
    if device == "hpu":
        env = standin_environment()
    run_python(TESTS / "device" / "drive_seq2seq.py", out, device, *mode, env=env)
    found: dict[str, Any] = json.loads((out / "found.json").read_text())
    return found


@pytest.fixture(scope="module")
def cpu(tmp_path_factory):
    return drive(tmp_path_factory.mktemp("cpu"), "cpu", "auto")


@pytest.mark.parametrize("mode", MODES, ids=" ".join)
def test_texts_equal_those_of_a_cpu_in_the_planned_shapes(cpu, tmp_path, mode):
    found = drive(tmp_path, "hpu", *mode)

    assert found["errors"] == [None] * 11
    assert found["texts"] == cpu["texts"]
    # Three batches of four rows, the last one padded: a prompt of four ids, then single ids.
    assert found["shapes"] == ["[[4, 1], [4, 100, 16]]", "[[4, 4], [4, 100, 16]]"]
    assert found["calls"] == 3 * 12
    module = "optimum.habana" if "trains" in mode else "transformers.models"
    assert found["network"].startswith(module)

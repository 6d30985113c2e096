"""A decoder writes on a Gaudi what it writes on a CPU, and sees the shapes that were planned."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from test_hpu import TESTS, has_optimum, run_python, standin_environment

pytestmark = pytest.mark.slow
# A mode, and whether the process trains: optimum-habana then has its own models in place.
WAYS = [("lazy",), ("eager",)] + ([("lazy", "trains")] if has_optimum() else [])


def drive(out: Path, device: str, *how: str) -> dict[str, Any]:
    env = {**os.environ, "PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1"}
    if device == "hpu":
        env = standin_environment()
    run_python(TESTS / "device" / "drive_seq2seq.py", out, device, *how, env=env)
    found: dict[str, Any] = json.loads((out / "found.json").read_text())
    return found


@pytest.fixture(scope="module")
def cpu(tmp_path_factory):
    return drive(tmp_path_factory.mktemp("cpu"), "cpu", "auto")


@pytest.mark.parametrize("how", WAYS, ids=" ".join)
def test_a_gaudi_writes_what_a_cpu_writes_in_planned_shapes(cpu, tmp_path, how):
    found = drive(tmp_path, "hpu", *how)

    assert found["errors"] == [None] * 11
    assert found["texts"] == cpu["texts"]
    # Three batches of four rows, the last one filled up: a prompt of four ids, then one by one.
    assert found["shapes"] == ["[[4, 1], [4, 100, 16]]", "[[4, 4], [4, 100, 16]]"]
    assert found["calls"] == 3 * 12
    module = "optimum.habana" if "trains" in how else "transformers.models"
    assert found["network"].startswith(module)

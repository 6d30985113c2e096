"""The CTC families of transformers 5 on the stand-in of a Gaudi give the texts of a CPU."""

from __future__ import annotations

import json
import os

import pytest
import transformers
from helpers.standin_device import TESTS, run_python
from helpers.tiny_models import FAMILIES, NEW_FAMILIES

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not set(NEW_FAMILIES) & set(FAMILIES),
        reason=f"transformers {transformers.__version__} has none of these families",
    ),
]


def texts(out, device, mode):
    env = {**os.environ, "PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1"}
    out.mkdir()
    run_python(
        TESTS / "device" / "drive_families.py", out, device, mode,
        env=env if device == "cpu" else None,
    )  # fmt: skip
    return json.loads((out / "found.json").read_text())


@pytest.mark.parametrize("mode", ["lazy", "eager"])
def test_texts_of_a_gaudi_equal_those_of_a_cpu(tmp_path, mode):
    expected = texts(tmp_path / "cpu", "cpu", "auto")

    found = texts(tmp_path / "hpu", "hpu", mode)

    assert found == expected
    assert all(len(set(of_family)) > 2 for of_family in found.values())

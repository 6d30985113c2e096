"""Runs that are interrupted at random moments; `tests/helpers/interrupted.py` runs more of them."""

import subprocess
import sys
from pathlib import Path

import pytest
from helpers.run import clean_environment

INTERRUPT = Path(__file__).parents[2] / "helpers" / "interrupted.py"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("kinds", "cases", "options"),
    [
        ("plain,augmented,accumulating,encoder-decoder", 8, ()),
        ("two", 2, ()),
        # Killed soon after a checkpoint, and once more as it resumes.
        ("plain,encoder-decoder", 2, ("--twice",)),
        ("two", 1, ("--twice",)),
    ],
)
def test_an_interrupted_run_resumes_to_the_same_result_and_leaves_no_process(kinds, cases, options):
    words = ["--kinds", kinds, "--cases", str(cases), "--seed", "2", *options]
    done = subprocess.run(
        [sys.executable, INTERRUPT, *words],
        env=clean_environment({"OMP_NUM_THREADS": "1"}),
        capture_output=True,
        timeout=900,
        check=False,
    )

    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    assert f"{cases} cases" in done.stdout.decode()

"""Jobs of `infer` that are killed and resumed; tests/helpers/interrupted_jobs.py has many more."""

import subprocess
import sys
from pathlib import Path

import pytest

DRIVER = Path(__file__).parents[1] / "helpers" / "interrupted_jobs.py"


@pytest.mark.slow
def test_a_job_that_is_killed_three_times_ends_as_an_uninterrupted_one():
    words = [sys.executable, DRIVER, "--files", "21", "--kills", "3", "--seed", "7"]

    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("equal\n")

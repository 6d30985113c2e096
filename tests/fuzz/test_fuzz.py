"""A minute of fuzzing: every outcome is success or an error with a remedy."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SECONDS = 10.0


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(path.stem for path in HERE.glob("fuzz_*.py")))
def test_mutated_input_is_read_or_rejected_with_a_message(name, monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    fuzzing, fuzzer = importlib.import_module("fuzzing"), importlib.import_module(name)

    tally = fuzzing.fuzz(fuzzer.case, seed=1, cases=5_000, seconds=SECONDS)

    assert tally.faults == []
    assert tally.read > 0
    assert tally.rejected > 0


def test_a_fault_is_found_and_can_be_reproduced(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    fuzzing = importlib.import_module("fuzzing")

    def case(rng, folder):
        if rng.random() < 0.2:
            raise KeyError(folder.name)

    tally = fuzzing.fuzz(case, seed=1, cases=200, seconds=60)
    number = int(tally.faults[0].partition(":")[0].removeprefix("case "))
    again = fuzzing.fuzz(case, seed=1, first=number, cases=1, seconds=60)

    assert len(tally.faults) == fuzzing.MAX_FAILURES
    assert "KeyError" in again.faults[0]
    assert sys.getrecursionlimit() >= 1_000

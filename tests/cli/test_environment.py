"""Variables of the environment that the command line sets for torch, before it is imported."""

import os

import pytest
from helpers.run import run_here


@pytest.mark.parametrize(
    ("given", "spin_count"),
    [
        ({}, "3000"),
        ({"GOMP_SPINCOUNT": "7"}, "7"),
        ({"OMP_WAIT_POLICY": "active"}, None),
    ],
)
def test_waiting_threads_soon_sleep_unless_the_environment_decides(monkeypatch, given, spin_count):
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "0")
        monkeypatch.delenv(name)
    for name, value in given.items():
        monkeypatch.setenv(name, value)

    assert run_here("--version").exit_code == 0

    assert os.environ.get("GOMP_SPINCOUNT") == spin_count

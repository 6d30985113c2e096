"""Processes with a stand-in of the Gaudi software on their path."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
STANDIN = TESTS / "hpu_standin"
TIMEOUT_S = 600


def has_optimum() -> bool:
    return any(
        one.metadata["Name"] == "optimum-habana" for one in importlib.metadata.distributions()
    )


def standin_environment() -> dict[str, str]:
    """Return the environment of a Gaudi host; only optimum-habana needs torchvision's stub."""
    paths = [TESTS, STANDIN, STANDIN / "site"]
    if has_optimum():
        paths.append(STANDIN / "site_optimum")
    gaudi = {name: value for name, value in os.environ.items() if not name.startswith("PT_HPU")}
    # Racy: a copy reads its source only when it is waited for, as late as possible.
    fixed = {"OMP_NUM_THREADS": "1", "HPU_STANDIN_D2H": "racy"}
    return {**gaudi, **fixed, "PYTHONPATH": os.pathsep.join(map(str, paths))}


def run_python(*arguments: object, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        env=standin_environment() if env is None else env,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout

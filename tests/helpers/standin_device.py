"""Processes that believe they run on a Gaudi host: the stand-in is on their path."""

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
    """The environment of a Gaudi host; torchvision's stub is for optimum-habana alone."""
    paths = [TESTS, STANDIN, STANDIN / "site"]
    if has_optimum():
        paths.append(STANDIN / "site_optimum")
    gaudi = {name: value for name, value in os.environ.items() if not name.startswith("PT_HPU")}
    # Racy: a copy reads its source only when somebody waits for it, as late as it ever could.
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

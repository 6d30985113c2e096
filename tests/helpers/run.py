"""Run whole commands: in a process of their own, or in this one where that is too slow."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

TIMEOUT_S = 120


@dataclass(frozen=True)
class Result:
    exit_code: int
    stdout: str
    stderr: str


def run(
    *arguments: object,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes = b"",
) -> Result:
    """Run a command as a user would, 80 columns wide, without colours or network access."""
    done = subprocess.run(
        [sys.executable, "-m", "gaudi_asr_cli", *map(str, arguments)],
        cwd=cwd,
        env=clean_environment(env),
        input=stdin,
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    return Result(done.returncode, done.stdout.decode(), done.stderr.decode())


def run_here(*arguments: object) -> Result:
    """Run a command in this process, which is fast where torch is loaded already."""
    from gaudi_asr_cli.cli.app import main

    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as exit_:
            code = exit_.code
    return Result(int(str(code or 0)), out.getvalue(), err.getvalue())


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this process's environment without variables that change colours or width."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in {"FORCE_COLOR", "PY_COLORS", "CLICOLOR_FORCE", "GITHUB_ACTIONS"}
    }
    fixed = {"COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb", "HF_HUB_OFFLINE": "1"}
    return {**kept, **fixed, **(extra or {})}

"""Ranks while they run: started, listened to, stopped together, and their end explained."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TextIO

from gaudi_asr_cli.core.distributed.handover import VARIABLE, Handover, kill, send
from gaudi_asr_cli.core.distributed.rank import TERMINALS
from gaudi_asr_cli.core.distributed.relay import relaying
from gaudi_asr_cli.core.errors import AsrError, StoppedError

WATCH_POLL_S = 0.1

GRACE_S = 3.0
"""From the first failure to the end of all: others may have something to say as well."""

PATIENCE_S = 10.0
"""How long a launcher gets to end its ranks by itself."""

LAST_LINES = 12


def run_ranks(
    line: Sequence[str],
    environment: Mapping[str, str],
    handover: Handover,
    outputs: tuple[TextIO, TextIO],
) -> None:
    """Start a launcher and wait for its ranks; the first rank's words come out of `outputs`.

    Ctrl-C and SIGTERM are passed on to the first rank, which has all of them stop after the same
    step; a second one ends them at once. So does the first error of any rank.

    Raises:
        AsrError: What the first rank that failed has said, with its exit code, or the last lines
            of one that died without a word.
    """
    terminals = [
        name for name, one in zip(("stdout", "stderr"), outputs, strict=True) if one.isatty()
    ]
    told = {**environment, VARIABLE: str(handover.root), TERMINALS: ",".join(terminals)}
    with (
        handover.launcher_log.open("ab") as log,
        relaying(handover, outputs),
        signals_noted() as signals,
    ):
        process = subprocess.Popen(  # noqa: S603 - an argument list of our own
            line,
            env=told,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Ctrl-C on a terminal goes to a whole group of processes: only to us, not to ranks.
            start_new_session=True,
        )
        watch = _Watch(process, handover)
        code = watch.until_over(signals)
    error = explain_end(code, handover, watch.stopped_by)
    if error is not None:
        raise error


@contextmanager
def signals_noted() -> Iterator[list[int]]:
    """A list to which Ctrl-C and SIGTERM are added while the block runs."""
    noted: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield noted
        return

    def note(number: int, frame: FrameType | None) -> None:
        noted.append(number)

    before = {one: signal.signal(one, note) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield noted
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


class _Watch:
    def __init__(self, process: subprocess.Popen[bytes], handover: Handover) -> None:
        self.stopped_by: int | None = None
        self._process = process
        self._handover = handover
        self._transcribed = 0
        self._end_at = self._kill_at = float("inf")

    def until_over(self, signals: Sequence[int]) -> int:
        """The launcher's exit code."""
        while (code := self._process.poll()) is None:
            for number in signals[self._transcribed :]:
                self._transcribe(number)
            if self._handover.failures():
                self._end_in(GRACE_S)
            self._end_if_due()
            time.sleep(WATCH_POLL_S)
        self._kill_ranks()
        return code

    def _transcribe(self, number: int) -> None:
        self._transcribed += 1
        first = self._handover.processes().get(0)
        if self.stopped_by is None and first is not None:
            send(first, number)
        else:
            self._end_in(0.0)
        self.stopped_by = number

    def _end_in(self, seconds: float) -> None:
        self._end_at = min(self._end_at, time.monotonic() + seconds)

    def _end_if_due(self) -> None:
        now = time.monotonic()
        if now >= self._end_at and self._kill_at == float("inf"):
            self._process.terminate()
            self._kill_at = now + PATIENCE_S
        if now >= self._kill_at:
            # Ranks that wait inside of a collective do not hear a signal, and torchrun waits long.
            self._kill_ranks()
            self._process.kill()

    def _kill_ranks(self) -> None:
        """Kill what has outlived its launcher, or does not hear it."""
        for pid in self._handover.processes().values():
            kill(pid)


def explain_end(code: int, handover: Handover, stopped_by: int | None) -> AsrError | None:
    """Why ranks ended, or None where they did what they were to do."""
    failures = handover.failures()
    if failures:
        return failures[0].to_error()
    if stopped_by is not None:
        return StoppedError(
            f"Stopped by {signal.Signals(stopped_by).name}.",
            remedy="Go on with --resume from the last whole checkpoint, if there is one.",
            exit_code=128 + stopped_by,
        )
    if code == 0:
        return None
    rank, how = who_died(_read(handover.launcher_log))
    log = handover.launcher_log if rank is None else handover.log(rank)
    lines = "\n".join(f"  {line}" for line in _read(log).splitlines()[-LAST_LINES:])
    who = "The launcher failed" if rank is None else f"Rank {rank} {how}, and with it all"
    return AsrError(
        f"{who}. The last lines of {log.resolve()}:\n{lines}",
        remedy="What went wrong is in the logs there. --resume goes on from the last whole "
        "checkpoint; with --max-restarts N torchrun does so by itself.",
    )


def who_died(launcher_log: str) -> tuple[int | None, str]:
    """The rank that a launcher names as the first to fail, and what it says of its end."""
    cause = launcher_log.rpartition("Root Cause")[2]
    rank = re.search(r"\brank\s*:\s*(\d+)", cause)
    code = re.search(r"\bexitcode\s*:\s*(-?\d+)", cause)
    if "Root Cause" in launcher_log and rank and code:
        return int(rank[1]), _describe(int(code[1]))
    by_mpi = re.search(r"process rank (\d+).*?exited on signal (\d+)", launcher_log, re.DOTALL)
    if by_mpi:
        return int(by_mpi[1]), _describe(-int(by_mpi[2]))
    by_mpi = re.search(r"Process name: \[\[\d+,\d+\],(\d+)\]\s+Exit code:\s+(\d+)", launcher_log)
    if by_mpi:
        return int(by_mpi[1]), _describe(int(by_mpi[2]))
    return None, ""


def _describe(code: int) -> str:
    if code >= 0:
        return f"ended with {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def _read(path: Path) -> str:
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - (1 << 18)))
        return file.read().decode(errors="replace")

"""Running ranks: starting a launcher, relaying output, forwarding signals, explaining errors."""

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

from gaudi_asr_cli.core.distributed.handover import VARIABLE, Handover, kill, send_signal
from gaudi_asr_cli.core.distributed.launcher_pipe import end_with_parent, hold_launcher_pipe
from gaudi_asr_cli.core.distributed.rank import TERMINALS
from gaudi_asr_cli.core.distributed.relay import relay_output
from gaudi_asr_cli.core.errors import AsrError, StoppedError

WATCH_POLL_S = 0.1

GRACE_S = 3.0
"""Time from the first failure to ending all ranks, in which others can report errors too."""

TERMINATE_TIMEOUT_S = 10.0
"""Time that a launcher gets to end its ranks before they are killed."""

LOG_LINES_SHOWN = 12


def run_ranks(
    line: Sequence[str],
    environment: Mapping[str, str],
    handover: Handover,
    outputs: tuple[TextIO, TextIO],
) -> None:
    """Start a launcher and wait for its ranks; the first rank's output goes to `outputs`.

    Ctrl-C and SIGTERM are forwarded to the first rank, which stops all ranks after the same step; a
    second signal ends them at once. So does an error of any rank.

    Raises:
        AsrError: The error of the first rank that failed, with its exit code, or the last lines of
            the log of a rank that died without reporting one.
    """
    terminals = [
        name for name, one in zip(("stdout", "stderr"), outputs, strict=True) if one.isatty()
    ]
    rank_environment = {**environment, VARIABLE: str(handover.root), TERMINALS: ",".join(terminals)}
    with (
        handover.launcher_log.open("ab") as log,
        relay_output(handover, outputs),
        hold_launcher_pipe(handover),
        record_signals() as signals,
    ):
        process = subprocess.Popen(  # noqa: S603 - our own argument list
            end_with_parent(line),
            env=rank_environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Ctrl-C on a terminal signals the whole process group, which must not include ranks.
            start_new_session=True,
        )
        monitor = _Monitor(process, handover)
        code = monitor.wait(signals)
    error = exit_error(code, handover, monitor.stopped_by)
    if error is not None:
        raise error


@contextmanager
def record_signals() -> Iterator[list[int]]:
    """Yield a list to which SIGINT and SIGTERM are appended while the block runs."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def record(number: int, frame: FrameType | None) -> None:
        received.append(number)

    before = {one: signal.signal(one, record) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


class _Monitor:
    def __init__(self, process: subprocess.Popen[bytes], handover: Handover) -> None:
        self.stopped_by: int | None = None
        self._process = process
        self._handover = handover
        self._forwarded = 0
        self._end_at = self._kill_at = float("inf")

    def wait(self, signals: Sequence[int]) -> int:
        """Wait for the launcher, forwarding signals, and return its exit code."""
        while (code := self._process.poll()) is None:
            for number in signals[self._forwarded :]:
                self._forward(number)
            if self._handover.failures():
                self._end_in(GRACE_S)
            self._end_if_due()
            time.sleep(WATCH_POLL_S)
        self._kill_ranks()
        return code

    def _forward(self, number: int) -> None:
        self._forwarded += 1
        first = self._handover.processes().get(0)
        if self.stopped_by is None and first is not None:
            send_signal(first, number)
        else:
            self._end_in(0.0)
        self.stopped_by = number

    def _end_in(self, seconds: float) -> None:
        self._end_at = min(self._end_at, time.monotonic() + seconds)

    def _end_if_due(self) -> None:
        now = time.monotonic()
        if now >= self._end_at and self._kill_at == float("inf"):
            self._process.terminate()
            self._kill_at = now + TERMINATE_TIMEOUT_S
        if now >= self._kill_at:
            # Ranks blocked in a collective do not handle signals, and torchrun waits long.
            self._kill_ranks()
            self._process.kill()

    def _kill_ranks(self) -> None:
        """Kill ranks that have outlived the launcher or do not react to it."""
        for pid in self._handover.processes().values():
            kill(pid)


def exit_error(code: int, handover: Handover, stopped_by: int | None) -> AsrError | None:
    """Return the error that ended the ranks, or None if they finished."""
    failures = handover.failures()
    if failures:
        return failures[0].to_error()
    if stopped_by is not None:
        return StoppedError(
            f"Stopped by {signal.Signals(stopped_by).name}.",
            remedy="Resume with --resume from the last complete checkpoint, if there is one.",
            exit_code=128 + stopped_by,
        )
    if code == 0:
        return None
    rank, end = find_failed_rank(_read(handover.launcher_log))
    log = handover.launcher_log if rank is None else handover.log(rank)
    lines = "\n".join(f"  {line}" for line in _read(log).splitlines()[-LOG_LINES_SHOWN:])
    failed = "The launcher failed" if rank is None else f"Rank {rank} {end}, which ended all ranks"
    return AsrError(
        f"{failed}. The last lines of {log.resolve()}:\n{lines}",
        remedy="The logs there have the cause. --resume continues from the last complete "
        "checkpoint; with --max-restarts N torchrun does so by itself.",
    )


def find_failed_rank(launcher_log: str) -> tuple[int | None, str]:
    """Return the rank that a launcher names as the first to fail, and how it ended."""
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
        return f"exited with {code}"
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

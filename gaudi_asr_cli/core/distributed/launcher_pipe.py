"""End ranks with the process that launched them, even if it is killed.

A killed process can notify nobody. So the launching process holds the write end of a pipe in
the handover folder, which the system closes with it, and every rank on its host waits for that.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from gaudi_asr_cli.core.distributed.handover import Handover, kill

_END_WITH_PARENT = """
import ctypes, os, sys
prctl = getattr(ctypes.CDLL(None), "prctl", None)
if prctl is not None:
    prctl(1, int(sys.argv[2]))
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execvp(sys.argv[3], sys.argv[3:])
"""
"""Has Linux send a signal to this process when its parent ends (PR_SET_PDEATHSIG is 1), makes sure
that it has not ended before, and becomes another program."""


def end_with_parent(line: Sequence[str]) -> list[str]:
    """Return a command line that gets SIGTERM when this process ends, where the system can.

    Launchers then end the ranks of all hosts.
    """
    given = (str(os.getpid()), str(int(signal.SIGTERM)))
    return [sys.executable, "-I", "-S", "-c", _END_WITH_PARENT, *given, *line]


@contextmanager
def hold_launcher_pipe(handover: Handover) -> Iterator[None]:
    """Keep the ranks alive while the block runs, or until this process is killed."""
    os.mkfifo(handover.launcher_pipe)
    # A pipe can be opened for writing without waiting once it has a reader.
    reader = os.open(handover.launcher_pipe, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(handover.launcher_pipe, os.O_WRONLY)
    os.close(reader)
    try:
        yield
    finally:
        os.close(writer)


def watch_launcher_pipe(handover: Handover) -> None:
    """Have this rank killed when the launching process has ended; a rank that it stops is not.

    Killed, because nothing else ends a rank that is blocked in a collective; that is the same as
    `kill -9`, after which the run can be resumed.
    """
    with suppress(FileNotFoundError):
        reader = os.open(handover.launcher_pipe, os.O_RDONLY | os.O_NONBLOCK)
        os.set_blocking(reader, True)
        threading.Thread(target=_await_end, args=(reader,), daemon=True).start()


def _await_end(reader: int) -> None:
    # Nothing is ever written: it returns when the last writer has closed its end.
    with suppress(OSError):
        os.read(reader, 1)
    kill(os.getpid())

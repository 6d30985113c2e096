"""A rank: its output streams, its log, and how it reports errors."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from gaudi_asr_cli.core.distributed.handover import STREAMS, Handover
from gaudi_asr_cli.core.distributed.launcher_pipe import watch_launcher_pipe
from gaudi_asr_cli.core.distributed.world import read_world
from gaudi_asr_cli.core.errors import AsrError, StoppedError

TERMINALS = "GAUDI_ASR_TERMINALS"
"""Environment variable: names of the launching process's streams that are terminals."""


@contextmanager
def rank_streams() -> Iterator[None]:
    """Redirect the output of a rank, that of libraries included, to its log.

    The first rank's own output goes through pipes to the process that launched the ranks, so that
    results and the live view appear only there, whatever the launcher prints or does to its
    children's streams. A process that is no rank keeps its streams.
    """
    handover = Handover.from_environment()
    if handover is None:
        yield
        return
    world = read_world()
    sys.stdout.flush()
    sys.stderr.flush()
    with handover.log(world.rank).open("ab", buffering=0) as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    handover.record_process(world.rank, os.getpid())
    watch_launcher_pipe(handover)
    original = sys.stdout, sys.stderr
    if world.rank == 0:
        sys.stdout, sys.stderr = (_open_pipe(handover, name) for name in STREAMS)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        sys.stdout, sys.stderr = original


def report_to_launcher(error: AsrError) -> bool:
    """Pass the error that ends this rank to the launching process, which shows it.

    Returns:
        False where this process is no rank.
    """
    handover = Handover.from_environment()
    if handover is None:
        return False
    handover.record_failure(read_world().rank, error)
    os.write(2, f"{error.message}\n{error.remedy}\n".encode(errors="backslashreplace"))
    return True


def exit_code_of(error: AsrError) -> int:
    """Return the exit code of a rank; 0 if it was stopped, or the launcher would restart it."""
    return 0 if isinstance(error, StoppedError) else error.exit_code


class _Pipe(io.TextIOWrapper):
    """A stream to the launching process that is a terminal if that process's stream is one."""

    is_terminal = False

    def isatty(self) -> bool:
        return self.is_terminal


def _open_pipe(handover: Handover, name: str) -> _Pipe:
    # Without waiting for a reader: there is none if the launching process was killed.
    descriptor = os.open(handover.stream(name), os.O_WRONLY | os.O_NONBLOCK)
    os.set_blocking(descriptor, True)
    pipe = _Pipe(os.fdopen(descriptor, "wb"), encoding="utf-8", errors="surrogateescape")
    pipe.reconfigure(line_buffering=True)
    pipe.is_terminal = name in os.environ.get(TERMINALS, "").split(",")
    return pipe

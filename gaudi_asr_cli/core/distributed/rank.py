"""A process that was started for a card: where it writes, and how it ends."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from gaudi_asr_cli.core.distributed.handover import STREAMS, Handover
from gaudi_asr_cli.core.distributed.world import read_world
from gaudi_asr_cli.core.errors import AsrError, StoppedError

TERMINALS = "GAUDI_ASR_TERMINALS"
"""Environment variable: names of the starting process's streams that are terminals."""


@contextmanager
def rank_streams() -> Iterator[None]:
    """Send all that a rank says, libraries included, into its log, but for the first one's words.

    Those go through pipes to the process that started the ranks, so that results and the live view
    come out there alone, whatever the launcher prints or does to its children's streams. Where
    nobody started this process, nothing is changed.
    """
    handover = Handover.found()
    if handover is None:
        yield
        return
    world = read_world()
    sys.stdout.flush()
    sys.stderr.flush()
    with handover.log(world.rank).open("ab", buffering=0) as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    handover.note_process(world.rank, os.getpid())
    own = sys.stdout, sys.stderr
    if world.rank == 0:
        sys.stdout, sys.stderr = (_open_pipe(handover, name) for name in STREAMS)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        sys.stdout, sys.stderr = own


def report_to_launcher(error: AsrError) -> bool:
    """Leave the error that ends this rank to the process that started it, which will show it."""
    handover = Handover.found()
    if handover is None:
        return False
    handover.note_failure(read_world().rank, error)
    os.write(2, f"{error.message}\n{error.remedy}\n".encode(errors="backslashreplace"))
    return True


def exit_code_of(error: AsrError) -> int:
    """What a rank ends with: a launcher must not start one anew that was stopped."""
    return 0 if isinstance(error, StoppedError) else error.exit_code


class _Pipe(io.TextIOWrapper):
    """A stream to the starting process, which looks like that process's own."""

    is_terminal = False

    def isatty(self) -> bool:
        return self.is_terminal


def _open_pipe(handover: Handover, name: str) -> _Pipe:
    # Without waiting for a reader: where there is none, somebody has killed it.
    descriptor = os.open(handover.stream(name), os.O_WRONLY | os.O_NONBLOCK)
    os.set_blocking(descriptor, True)
    pipe = _Pipe(os.fdopen(descriptor, "wb"), encoding="utf-8", errors="surrogateescape")
    pipe.reconfigure(line_buffering=True)
    pipe.is_terminal = name in os.environ.get(TERMINALS, "").split(",")
    return pipe

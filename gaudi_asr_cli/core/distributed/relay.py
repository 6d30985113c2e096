"""Relay of the first rank's output from its pipes to the launching process's streams."""

from __future__ import annotations

import codecs
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from gaudi_asr_cli.core.distributed.handover import STREAMS, Handover

DRAIN_TIMEOUT_S = 5.0
"""Time to wait for remaining output when all ranks have ended."""

SHOW_CURSOR = "\x1b[?25h"


@contextmanager
def relay_output(handover: Handover, outputs: tuple[TextIO, TextIO]) -> Iterator[None]:
    """Copy the first rank's output to standard output and error until the block ends.

    Raises:
        Exception: An output could not be written; the ranks have ended all the same.
    """
    threads = []
    failures: list[Exception] = []
    for name, output in zip(STREAMS, outputs, strict=True):
        os.mkfifo(handover.stream(name))
        # Our own write end keeps the pipe open while ranks are restarted.
        reader = os.open(handover.stream(name), os.O_RDONLY | os.O_NONBLOCK)
        writer = os.open(handover.stream(name), os.O_WRONLY)
        os.set_blocking(reader, True)
        thread = threading.Thread(target=_copy, args=(reader, output, failures), daemon=True)
        thread.start()
        threads.append((thread, writer))
    try:
        yield
    finally:
        for thread, writer in threads:
            os.close(writer)
            thread.join(DRAIN_TIMEOUT_S)
        for output in outputs:
            if output.isatty():
                # A live view that was killed has left it hidden.
                output.write(SHOW_CURSOR)
                output.flush()
    if failures:
        raise failures[0]


def _copy(reader: int, output: TextIO, failures: list[Exception]) -> None:
    """Copy the data; after a failure go on reading, or the rank would block on a full pipe."""
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    with os.fdopen(reader, "rb", buffering=0) as pipe:
        while data := pipe.read(1 << 16):
            if failures:
                continue
            try:
                output.write(decoder.decode(data))
                output.flush()
            except Exception as error:  # noqa: BLE001 - raised by the thread that waits for this one
                failures.append(error)

"""The first rank's words, from its pipes to the streams of the process that started it."""

from __future__ import annotations

import codecs
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from gaudi_asr_cli.core.distributed.handover import STREAMS, Handover

LAST_WORDS_S = 5.0
"""How long to wait for words still under way when everybody has ended."""

SHOW_CURSOR = "\x1b[?25h"


@contextmanager
def relaying(handover: Handover, outputs: tuple[TextIO, TextIO]) -> Iterator[None]:
    """Pass on what the first rank says to standard output and error until the block ends.

    Raises:
        Exception: What came out could not be written; the ranks have ended all the same.
    """
    pumps = []
    failures: list[Exception] = []
    for name, output in zip(STREAMS, outputs, strict=True):
        os.mkfifo(handover.stream(name))
        # Our own end for writing keeps the pipe open while ranks come and go.
        reader = os.open(handover.stream(name), os.O_RDONLY | os.O_NONBLOCK)
        writer = os.open(handover.stream(name), os.O_WRONLY)
        os.set_blocking(reader, True)
        thread = threading.Thread(target=_pump, args=(reader, output, failures), daemon=True)
        thread.start()
        pumps.append((thread, writer))
    try:
        yield
    finally:
        for thread, writer in pumps:
            os.close(writer)
            thread.join(LAST_WORDS_S)
        for output in outputs:
            if output.isatty():
                # A live view that was killed has not done so.
                output.write(SHOW_CURSOR)
                output.flush()
    if failures:
        raise failures[0]


def _pump(reader: int, output: TextIO, failures: list[Exception]) -> None:
    """Pass on what comes; where that fails, go on reading, or the rank would wait for ever."""
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

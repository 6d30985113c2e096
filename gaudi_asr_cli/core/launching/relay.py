"""The first rank's words, from its pipes to the streams of the process that started it."""

from __future__ import annotations

import codecs
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from gaudi_asr_cli.core.launching.handover import STREAMS, Handover

LAST_WORDS_S = 5.0
"""How long to wait for words still under way when everybody has ended."""

SHOW_CURSOR = "\x1b[?25h"


@contextmanager
def relaying(handover: Handover, outputs: tuple[TextIO, TextIO]) -> Iterator[None]:
    """Pass on what the first rank says to standard output and error until the block ends."""
    pumps = []
    for name, output in zip(STREAMS, outputs, strict=True):
        os.mkfifo(handover.stream(name))
        # Our own end for writing keeps the pipe open while ranks come and go.
        reader = os.open(handover.stream(name), os.O_RDONLY | os.O_NONBLOCK)
        writer = os.open(handover.stream(name), os.O_WRONLY)
        os.set_blocking(reader, True)
        thread = threading.Thread(target=_pump, args=(reader, output), daemon=True)
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


def _pump(reader: int, output: TextIO) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    with os.fdopen(reader, "rb", buffering=0) as pipe:
        while data := pipe.read(1 << 16):
            output.write(decoder.decode(data))
            output.flush()

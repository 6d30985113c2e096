"""The two streams: results go to standard output, everything for people to standard error."""

from __future__ import annotations

import contextlib
import io
import os
import sys

from rich.console import Console

CONSOLE = Console(stderr=True, highlight=False)
"""The one console for people; rich leaves colours and control codes out where nobody watches."""


UNWATCHED_COLUMNS = 160
"""How wide a table is that goes into a file: wide enough not to break names."""


def open_result_console() -> Console:
    """For tables that are a command's result and go to standard output."""
    told = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(highlight=False, width=None if told else UNWATCHED_COLUMNS)


def prepare_streams() -> None:
    """Write UTF-8 whatever the locale says, and each line as it comes: results are data.

    File names that are not UTF-8 go out as the bytes they came in with.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A stream that has been read from cannot be told; nothing is lost then.
        with contextlib.suppress(io.UnsupportedOperation):
            sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape", line_buffering=True)


def print_result(line: str) -> None:
    """One line of the result, at once: the next program of a pipe should not wait for it."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()

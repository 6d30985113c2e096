"""The two streams: results go to standard output, messages to standard error.

Either may be closed or on a full disk. A result that cannot be written ends the command with an
error message; a message that cannot be written never costs a result.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console

from gaudi_asr_cli.core.errors import AsrError

CONSOLE = Console(stderr=True, highlight=False)
"""The console for messages; rich leaves out colours and control codes if it is not a terminal."""


FILE_COLUMNS = 160
"""The width of a table in a file: wide enough not to wrap names."""

STDIN, STDOUT, STDERR = 0, 1, 2

_private: list[TextIO] = []
"""The stream of results inside `separate_results`; empty outside."""


def result_stream() -> TextIO:
    """Return the stream that results go to, and nothing else may."""
    return _private[-1] if _private else sys.stdout


def open_result_console() -> Console:
    """Return a console for tables that are results and go to standard output."""
    stream = result_stream()
    has_width = stream.isatty() or "COLUMNS" in os.environ
    return Console(file=stream, highlight=False, width=None if has_width else FILE_COLUMNS)


def print_result(line: str) -> None:
    """Print a line of the result and flush it, so that the next program of a pipe gets it."""
    stream = result_stream()
    stream.write(line + "\n")
    stream.flush()


@contextmanager
def guarded_streams() -> Iterator[MessageStream | None]:
    """Handle write errors of the process's own streams while the block runs.

    Both are UTF-8 whatever the locale is, and each line is flushed: results are data. File names
    that are not UTF-8 are written as their original bytes. Streams that replace the process's own
    are left alone.

    Yields:
        Standard error, which knows whether messages were lost; None if it was replaced.
    """
    _hold_closed_descriptors()
    own = sys.stdout, sys.stderr
    messages = MessageStream(STDERR) if _is_own(sys.stderr, STDERR) else None
    if messages is not None:
        sys.stderr = messages
    if _is_own(sys.stdout, STDOUT):
        sys.stdout = ResultStream(STDOUT)
    try:
        yield messages
    finally:
        sys.stdout, sys.stderr = own


@contextmanager
def separate_results() -> Iterator[None]:
    """Reserve standard output for results while the block runs.

    Output of libraries, prompts included, goes to standard error: that of Python's `print` and
    that of C code to the descriptor. Results go to a private copy of standard output.
    """
    own = sys.stdout
    own.flush()
    with _private_copy(own) as results:
        _private.append(results)
        sys.stdout = sys.stderr
        try:
            yield
        finally:
            sys.stdout = own
            _private.pop()


@contextmanager
def _private_copy(stream: TextIO) -> Iterator[TextIO]:
    """Yield a stream on a copy of the descriptor, or the stream itself if it was replaced."""
    if not _is_own(stream, STDOUT):
        yield stream
        return
    copy = os.dup(STDOUT)
    os.dup2(STDERR, STDOUT)
    try:
        yield ResultStream(copy)
    finally:
        os.dup2(copy, STDOUT)
        os.close(copy)


class _OwnStream(io.TextIOWrapper):
    """A stream on one of the process's own descriptors."""

    def __init__(self, descriptor: int, errors: str) -> None:
        buffer = os.fdopen(descriptor, "wb", closefd=False)
        super().__init__(buffer, encoding="utf-8", errors=errors, line_buffering=True)

    def give_up(self) -> None:
        """Redirect to /dev/null, or the buffer would be flushed again when the process exits."""
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self.fileno())
        os.close(null)


class ResultStream(_OwnStream):
    """Standard output.

    Raises:
        AsrError: A write failed.
        BrokenPipeError: The reader has closed the pipe.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "surrogateescape")

    def write(self, text: str) -> int:
        with self._failing_well():
            return super().write(text)

    def flush(self) -> None:
        with self._failing_well():
            super().flush()

    @contextmanager
    def _failing_well(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            self.give_up()
            raise
        except OSError as error:
            self.give_up()
            raise _unwritable(error) from error


class MessageStream(_OwnStream):
    """Standard error; `lost` is true if a message could not be written."""

    def __init__(self, descriptor: int) -> None:
        self.lost = False
        super().__init__(descriptor, "backslashreplace")

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError as error:
            self._lose(error)
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self._lose(error)

    def _lose(self, error: OSError) -> None:
        # A closed pipe means that no more messages are wanted; a full disk loses messages.
        self.lost = self.lost or error.errno != errno.EPIPE
        self.give_up()


def _unwritable(error: OSError) -> AsrError:
    closed = error.errno == errno.EBADF
    reason = "it is closed" if closed else error.strerror
    return AsrError(
        f"Results cannot be written to standard output: {reason}.",
        remedy="Send them to a file on a disk with space, or have the command write files "
        "(--out-dir, --run, --save); the files that it has written are complete.",
    )


def _is_own(stream: TextIO | None, descriptor: int) -> bool:
    """Return whether a stream is the process's own; None was closed at the start."""
    if stream is None:
        return True
    with contextlib.suppress(OSError, ValueError):
        return stream.fileno() == descriptor
    return False


def _hold_closed_descriptors() -> None:
    """Open /dev/null on standard descriptors that are closed.

    Otherwise the next file that is opened would get that descriptor, and prints would go into it.
    """
    # Standard output is read-only, so that writing to it fails; messages to a closed standard error
    # are not wanted.
    for descriptor, flags in ((STDIN, os.O_RDONLY), (STDOUT, os.O_RDONLY), (STDERR, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            null = os.open(os.devnull, flags)
            if null != descriptor:
                os.dup2(null, descriptor)
                os.close(null)

"""The two streams: results go to standard output, everything for people to standard error.

Either may be closed, or lie on a disk that is full. A result that cannot be written ends the
command with a sentence; a message that cannot be written never costs a result.
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
"""The one console for people; rich leaves colours and control codes out where nobody watches."""


UNWATCHED_COLUMNS = 160
"""How wide a table is that goes into a file: wide enough not to break names."""

STDIN, STDOUT, STDERR = 0, 1, 2

_private: list[TextIO] = []
"""Where results go while standard output is kept from everything else; else empty."""


def result_stream() -> TextIO:
    """Return the stream that results go to, and nothing else may."""
    return _private[-1] if _private else sys.stdout


def open_result_console() -> Console:
    """For tables that are a command's result and go to standard output."""
    stream = result_stream()
    told = stream.isatty() or "COLUMNS" in os.environ
    return Console(file=stream, highlight=False, width=None if told else UNWATCHED_COLUMNS)


def print_result(line: str) -> None:
    """One line of the result, at once: the next program of a pipe should not wait for it."""
    stream = result_stream()
    stream.write(line + "\n")
    stream.flush()


@contextmanager
def guarded_streams() -> Iterator[MessageStream | None]:
    """Have the process's own streams fail well while the block runs.

    Both are UTF-8 whatever the locale says, and each line goes out as it comes: results are data.
    File names that are not UTF-8 go out as the bytes they came in with. Streams that somebody has
    put in the place of the process's own are left alone.

    Yields:
        Standard error, which knows whether messages were lost; None where it is another stream.
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
    """Keep standard output for results alone while the block runs.

    What libraries print, prompts included, goes to standard error: Python's `print` as well as
    what C code writes to the descriptor. Results go to a private copy of it.
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
    """The stream itself where it is none of the process's own descriptors."""
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
    """One of the process's own streams, by its descriptor."""

    def __init__(self, descriptor: int, errors: str) -> None:
        buffer = os.fdopen(descriptor, "wb", closefd=False)
        super().__init__(buffer, encoding="utf-8", errors=errors, line_buffering=True)

    def give_up(self) -> None:
        """Send what is still buffered nowhere, or it would be tried again at the very end."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)


class ResultStream(_OwnStream):
    """Standard output.

    Raises:
        AsrError: Something cannot be written; BrokenPipeError where a reader has left early.
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
    """Standard error; `lost` says that something could not be written to it."""

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
        # A reader that has left does not want more; a full disk loses what was wanted.
        self.lost = self.lost or error.errno != errno.EPIPE
        self.give_up()


def _unwritable(error: OSError) -> AsrError:
    closed = error.errno == errno.EBADF
    reason = "it is closed" if closed else error.strerror
    return AsrError(
        f"Results cannot be written to standard output: {reason}.",
        remedy="Send them to a file on a disk with space, or have them written by the command "
        "(--out-dir, --run, --save); what it has written into files is whole.",
    )


def _is_own(stream: TextIO | None, descriptor: int) -> bool:
    """Whether a stream is the process's own; None is one that was closed at the start."""
    if stream is None:
        return True
    with contextlib.suppress(OSError, ValueError):
        return stream.fileno() == descriptor
    return False


def _hold_closed_descriptors() -> None:
    """Put something in the place of streams that are closed.

    Or the next file that is opened would take its number, and be written over by whatever prints.
    """
    # Standard output read-only, so that writing to it fails as it should; what is lost on standard
    # error was not wanted.
    for descriptor, flags in ((STDIN, os.O_RDONLY), (STDOUT, os.O_RDONLY), (STDERR, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            held = os.open(os.devnull, flags)
            if held != descriptor:
                os.dup2(held, descriptor)
                os.close(held)

"""Lists of files, as `find` and other programs write them: a name on each line, or before a NUL."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from gaudi_asr_cli.core.data.paths import expand_home, find_path_problem, shorten_path
from gaudi_asr_cli.core.errors import DataError, UsageError
from gaudi_asr_cli.core.inference.inputs import STDIN

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def read_file_list(name: str, stdin: BinaryIO | None, *, null: bool = False) -> tuple[str, ...]:
    """Return the names in a list, relative to the working directory or absolute.

    Names are taken as they are: `*`, `~` and `#` mean nothing. Empty lines are left out, and the
    carriage return of lists from Windows.

    Args:
        name: The list, or `-` for standard input.
        stdin: Standard input; None where it is closed.
        null: Names end with NUL, as `find -print0` writes them.

    Raises:
        DataError: There is no such list, it is empty, or it cannot be read.
        UsageError: It holds NUL without `null`.
    """
    data = _read(name, stdin)
    if not null and b"\0" in data:
        raise UsageError(
            f"--files-from {shorten_path(name)}: the names end with NUL, not with a line.",
            remedy="Add --null, which reads what find -print0 writes.",
        )
    parts = data.split(b"\0" if null else b"\n")
    names = parts if null else [part.removesuffix(b"\r") for part in parts]
    found = tuple(os.fsdecode(one) for one in names if one.strip())
    if not found:
        raise DataError(
            f"--files-from {shorten_path(name)}: the list names no file.",
            remedy="Write the name of a file on each line.",
        )
    return found


def _read(name: str, stdin: BinaryIO | None) -> bytes:
    try:
        if name == STDIN:
            data = b"" if stdin is None else stdin.read()
        else:
            problem = find_path_problem(expand_home(name))
            # A pipe, as of `<(find ...)`, is no regular file and can be read.
            if problem is not None and not _is_pipe(name):
                raise _unreadable(name, problem)
            data = Path(expand_home(name)).read_bytes()
    except OSError as error:
        raise _unreadable(name, f"{error.strerror or error}.") from error
    return data.removeprefix(_BYTE_ORDER_MARK)


def _is_pipe(name: str) -> bool:
    path = expand_home(name)
    return path.exists() and (path.is_fifo() or path.is_char_device())


def _unreadable(name: str, problem: str) -> DataError:
    return DataError(
        f"--files-from {shorten_path(name)}: {problem}",
        remedy="Give a text file with a name on each line, or - for standard input.",
    )

"""Paths from users and lists: why one cannot be opened as a file, without raising."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

MISSING = "there is no such file"
"""The beginning of the problem of a path that does not exist."""

_SHOWN_CHARACTERS = 300
_SHOWN_END = 60

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def expand_home(path: str) -> Path:
    """Return the path with `~` and `~user` expanded; `~` of an unknown user is left as it is."""
    # Path.expanduser raises for an unknown user.
    return Path(os.path.expanduser(path))  # noqa: PTH111


def find_path_problem(path: Path) -> str | None:
    """Return why `path` cannot be read as a file, from the file system alone; None where it can."""
    try:
        status = path.stat()
    except OSError as error:
        return _describe(path, error)
    except ValueError:
        # A NUL, or a character that no file name of this system can hold.
        return "not a possible file name."
    if not stat.S_ISREG(status.st_mode):
        return _describe_kind(path, status.st_mode)
    return "the file is empty (0 bytes)." if status.st_size == 0 else None


def shorten_path(path: Path | str) -> str:
    """Return the path for a message; of a very long one, its beginning and end."""
    text = str(path)
    if len(text) <= _SHOWN_CHARACTERS:
        return text
    return f"{text[:_SHOWN_END]} ... {text[-_SHOWN_END:]}"


def _describe(path: Path, error: OSError) -> str:
    if error.errno == errno.ENAMETOOLONG:
        return f"the path is too long for this system ({len(os.fsencode(path)):,} bytes)."
    if error.errno in {errno.ENOENT, errno.ENOTDIR}:
        return _describe_missing(path)
    return f"{error.strerror}."


def _describe_missing(path: Path) -> str:
    try:
        target = path.readlink()
    except OSError:
        return f"{MISSING}."
    return f"{MISSING}: it is a link to {shorten_path(target)}, which is missing."


def _describe_kind(path: Path, mode: int) -> str:
    kind = next((name for is_kind, name in _KINDS if is_kind(mode)), "something else")
    if stat.S_ISDIR(mode) and not os.access(path, os.R_OK | os.X_OK):
        return "a folder that cannot be opened (permission denied)."
    return f"{kind}, not a file."

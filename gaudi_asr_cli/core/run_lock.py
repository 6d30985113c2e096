"""A lock on a run folder: one command at a time writes to it.

The lock is the system's, on an open file, so that it ends with its holder, also after `kill -9`.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

from gaudi_asr_cli.core.errors import UsageError

LOCK_POLL_S = 0.1
WRITES_CHECKPOINT = "it then writes a checkpoint, from which --resume continues"

_WITHOUT_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}


@dataclass(frozen=True, slots=True)
class LockHolder:
    """The process that holds a lock, as it describes itself in the locked file."""

    pid: int
    host: str
    since: str


@contextmanager
def hold_lock(
    path: Path, *, wait_s: float = 0.0, stopped: str = WRITES_CHECKPOINT
) -> Iterator[bool]:
    """Hold the lock of a run folder while the block runs.

    Args:
        path: The file that is locked, in the run folder; it exists only while the lock is held, or
            after its holder was killed.
        wait_s: Time to wait for a holder that is about to end.
        stopped: What its holder does when it is stopped, for the remedy.

    Yields:
        False where the file system has no locks, so that nothing is held.

    Raises:
        UsageError: Another process holds it, or the folder cannot be written.
    """
    try:
        descriptor = _lock(path, time.monotonic() + wait_s, stopped)
    except OSError as error:
        if error.errno not in _WITHOUT_LOCKS:
            raise _unwritable(path, error) from error
        yield False
        return
    try:
        _write_holder(descriptor)
        yield True
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        os.close(descriptor)


def _lock(path: Path, until_s: float, stopped: str) -> int:
    """Open and lock the file, and return its descriptor."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(descriptor, path):
                return os.dup(descriptor)
            # Its holder removed the file between our two calls: lock the new one.
        except BlockingIOError:
            if time.monotonic() >= until_s:
                raise _held_error(path, read_holder(path), stopped) from None
            time.sleep(LOCK_POLL_S)
        finally:
            # A copy of a descriptor keeps the lock.
            os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _write_holder(descriptor: int) -> None:
    now = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
    holder = LockHolder(os.getpid(), socket.gethostname(), now)
    # The lock holds without it: on a full disk the message to others just says less.
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.write(descriptor, json.dumps(asdict(holder)).encode())


def read_holder(path: Path) -> LockHolder | None:
    """Return who holds the lock, or None where the file does not say."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return LockHolder(int(values["pid"]), str(values["host"]), str(values["since"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _held_error(path: Path, holder: LockHolder | None, stopped: str) -> UsageError:
    folder = path.parent
    if holder is None:
        return UsageError(
            f"Another process is writing to the run in {folder}.",
            remedy="Wait until it has finished, then resume.",
        )
    return UsageError(
        f"The run in {folder} is in use by process {holder.pid} on {holder.host} since "
        f"{holder.since}.",
        remedy=f"Wait until it has finished, or stop it (kill {holder.pid} on {holder.host}): "
        f"{stopped}.",
    )


def _unwritable(path: Path, error: OSError) -> UsageError:
    return UsageError(
        f"The run folder {path.parent} cannot be written: {error.strerror}.",
        remedy="Change its permissions, or copy the folder to a place with write permission.",
    )

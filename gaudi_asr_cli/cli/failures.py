"""Exceptions of libraries and the system that a user can fix, as errors with a remedy."""

from __future__ import annotations

import errno
from collections.abc import Iterator

from gaudi_asr_cli.cli.parsing import CommandLineError, usage_error
from gaudi_asr_cli.core.errors import AsrError

_DISK_FULL = {errno.ENOSPC, errno.EDQUOT}
_REFUSED = {
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG),
    *(errno.EFBIG, errno.EIO, errno.ELOOP),
}
# safetensors and torch lose the error number on the way from Rust and C++.
_DISK_FULL_WORDS = ("No space left on device", "Disk quota exceeded")


def as_user_error(error: Exception) -> AsrError | None:
    """Return the error in the user's terms, or None where it is a bug."""
    if isinstance(error, CommandLineError):
        return usage_error(error)
    for cause in _causes(error):
        if _is_disk_full(cause):
            return disk_full_error(cause)
        if _is_out_of_memory(cause):
            return _memory_error(cause)
    return _refused_path(error)


def disk_full_error(cause: BaseException) -> AsrError:
    """Return an error that names the file, where the system gives its name."""
    path = getattr(cause, "filename", None)
    return AsrError(
        f"The disk is full: {path} could not be written." if path else "The disk is full.",
        remedy="Free some space (df -h shows where) or write to another disk with --run or --out; "
        "what was written whole before is kept.",
    )


def _is_out_of_memory(error: BaseException) -> bool:
    # By name: this module is imported before torch.
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def _memory_error(cause: BaseException) -> AsrError:
    first_line = str(cause).partition("\n")[0]
    return AsrError(
        f"Memory ran out. {first_line}".strip(),
        remedy="Use a smaller --batch-seconds with a larger --accumulate, or end other programs.",
    )


def _refused_path(error: BaseException) -> AsrError | None:
    """Return an error for a file or folder that the system does not let us use."""
    if not isinstance(error, OSError) or error.errno not in _REFUSED or not error.filename:
        return None
    return AsrError(
        f"{error.filename}: {error.strerror}.",
        remedy="Choose another path, or change its permissions.",
    )


def _is_disk_full(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in _DISK_FULL:
        return True
    return any(words in str(error) for words in _DISK_FULL_WORDS)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__

"""Whatever goes wrong while one file is read is an error of that file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gaudi_asr_cli.core.errors import AsrError, DataError


def describe_failure(error: Exception) -> str:
    """Say in one line why a file could not be read; an exception of no known kind is named."""
    if isinstance(error, AsrError):
        return error.message
    if isinstance(error, MemoryError):
        return "memory ran out while it was read."
    first_line = str(error).partition("\n")[0]
    if isinstance(error, OSError):
        return error.strerror or first_line or type(error).__name__
    return f"unexpected {type(error).__name__}: {first_line}".rstrip(": ")


@contextmanager
def file_errors(name: str) -> Iterator[None]:
    """Turn every exception of the block into a `DataError` that names the file.

    Raises:
        DataError: Something was raised; an `AsrError` passes as it is.
    """
    try:
        yield
    except AsrError:
        raise
    except Exception as error:
        reason = describe_failure(error).removesuffix(".")
        raise DataError(
            f"{name}: {reason}.",
            remedy="Take the file out of the data, convert it to flac, or see that it may be read.",
        ) from error

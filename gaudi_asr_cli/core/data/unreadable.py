"""Turn any exception while a file is read into an error of that file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gaudi_asr_cli.core.errors import AsrError, DataError


def describe_failure(error: Exception) -> str:
    """Return in one line why a file could not be read; an unexpected exception is named."""
    if isinstance(error, AsrError):
        return error.message
    if isinstance(error, MemoryError):
        return "memory ran out while reading it."
    first_line = str(error).partition("\n")[0]
    if isinstance(error, OSError):
        return error.strerror or first_line or type(error).__name__
    return f"unexpected {type(error).__name__}: {first_line}".rstrip(": ")


@contextmanager
def file_errors(name: str) -> Iterator[None]:
    """Turn every exception of the block into a `DataError` that names the file.

    Raises:
        DataError: The block raised; an `AsrError` is passed on unchanged.
    """
    try:
        yield
    except AsrError:
        raise
    except Exception as error:
        reason = describe_failure(error).removesuffix(".")
        raise DataError(
            f"{name}: {reason}.",
            remedy="Remove the file from the data, convert it to flac, or check its permissions.",
        ) from error

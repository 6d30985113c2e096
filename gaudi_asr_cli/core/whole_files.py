"""Write files that are either whole or not there, whatever ends the process or fills the disk."""

from __future__ import annotations

import errno
import gzip
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import rmtree
from typing import Any, TextIO, cast

from gaudi_asr_cli.core.json_text import json_text

PART_SUFFIX = ".part"
"""Ending of temporary files; one that is left belongs to a process that was killed."""

MAX_NAME_CHARACTERS = 60
"""Characters of a file's name in that of its temporary file, which then fits into 255 bytes."""

SYNC_THREADS = 8
"""Files that the system is asked at once to write to the disk."""


def write_whole(path: Path, text: str, *, errors: str = "strict") -> None:
    """Write a file atomically: to a temporary file, with fsync, then renamed.

    With `errors="surrogateescape"` file names in the text that are not UTF-8 keep their bytes.

    Raises:
        OSError: It could not be written; what was there before is unchanged.
    """
    with open_whole(path, errors=errors) as file:
        file.write(text)


def write_json(path: Path, value: Any) -> None:
    """Write an indented JSON file atomically."""
    write_whole(path, json_text(value, indent=2) + "\n")


@contextmanager
def open_whole_gzip(path: Path) -> Iterator[TextIO]:
    """Open a compressed text file that gets its name when the block ends, as `open_whole` does.

    Raises:
        OSError: It could not be written; the error names `path`.
    """
    temporary = _part_of(path)
    with errors_named(path, temporary):
        try:
            with gzip.open(temporary, "wt", encoding="utf-8") as file:
                yield cast(TextIO, file)
            sync_file(temporary)
            temporary.replace(path)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
        sync_folder(path.parent)


@contextmanager
def open_whole(
    path: Path, *, errors: str = "strict", newline: str | None = None, new: bool = False
) -> Iterator[TextIO]:
    """Open a text file that gets its name when the block ends, and only if it did not fail.

    Args:
        path: Path of the file.
        errors: As of `open`.
        newline: As of `open`.
        new: Never replace a file.

    Raises:
        FileExistsError: The file exists, and must be `new`.
        OSError: It could not be written; the error names `path`.
    """
    temporary = _part_of(path)
    with errors_named(path, temporary):
        try:
            with temporary.open("w", encoding="utf-8", errors=errors, newline=newline) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            _name_new(temporary, path) if new else temporary.replace(path)
        finally:
            # Where even this fails, the first error is the one that matters.
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
        sync_folder(path.parent)


def write_whole_files(texts: Mapping[Path, str], *, errors: str = "strict") -> None:
    """Write several files, each atomically; they are on the disk when it returns.

    Faster than one by one: the disk is waited for once, not once for a file.

    Args:
        texts: Text by path; the folders exist.
        errors: As of `open`.

    Raises:
        OSError: One could not be written; the others are whole, or as they were before.
    """
    parts: dict[Path, Path] = {}
    try:
        for number, (path, text) in enumerate(texts.items()):
            temporary = _part_of(path, number)
            parts[path] = temporary
            with errors_named(path, temporary):
                temporary.write_text(text, encoding="utf-8", errors=errors)
        with ThreadPoolExecutor(SYNC_THREADS) as pool:
            for path, future in [
                (path, pool.submit(sync_file, one)) for path, one in parts.items()
            ]:
                with errors_named(path, parts[path]):
                    future.result()
        for path, temporary in parts.items():
            with errors_named(path, temporary):
                temporary.replace(path)
    finally:
        for temporary in parts.values():
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
    for folder in dict.fromkeys(path.parent for path in texts):
        sync_folder(folder)


def _name_new(temporary: Path, path: Path) -> None:
    """Rename without replacing a file, also one that another process has just created."""
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        raise
    except OSError:
        # A file system without hard links.
        if path.exists():
            raise FileExistsError(path) from None
        temporary.replace(path)


def sync_file(path: Path) -> None:
    """Have the system write a file to the disk now."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Have the system write a folder's entries to the disk now, where it can."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        # Some network file systems sync no folders, and write entries at once.
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def errors_named(path: Path, temporary: Path) -> Iterator[None]:
    """Give errors of writing the name of the file that the user knows.

    A full disk shows in a write, whose error has no name; other errors name the temporary file.
    """
    try:
        yield
    except OSError as error:
        name = str(error.filename or "")
        if name.startswith(str(temporary)):
            error.filename = f"{path}{name.removeprefix(str(temporary))}"
        elif error.filename is None and error.errno in _WRITE_ERRORS:
            error.filename = str(path)
        raise


_WRITE_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


@contextmanager
def open_whole_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder that gets its name when the block ends, if it did not fail.

    Where the folder exists (it may be the current one, or a mounted disk) the files move into it
    one by one. They are on the disk by then.

    Raises:
        OSError: It could not be written; what was there before is unchanged.
    """
    path = path.absolute()
    temporary = _part_of(path / path.name if path.is_dir() else path)
    with errors_named(path, temporary):
        make_folder(path.parent)
        rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        try:
            yield temporary
            sync_tree(temporary)
            _move_files(temporary, path) if path.is_dir() else temporary.rename(path)
        finally:
            rmtree(temporary, ignore_errors=True)
        sync_folder(path.parent)


def make_folder(path: Path) -> None:
    """Create a folder and those above it, unless it exists.

    Raises:
        OSError: It cannot be created, or a file has its name.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        # What the system says is true of the file, and misleading about the folder.
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path)) from error
    except FileNotFoundError as error:
        # The folders above were created if needed: this file system, such as /proc, takes none.
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path)) from error


def _part_of(path: Path, number: int | None = None) -> Path:
    """Return the temporary file; the number tells apart files whose names begin alike."""
    process = f"{os.getpid()}" if number is None else f"{os.getpid()}-{number}"
    return path.with_name(f".{path.name[:MAX_NAME_CHARACTERS]}.{process}{PART_SUFFIX}")


def _move_files(source: Path, target: Path) -> None:
    for path in sorted(source.iterdir()):
        path.replace(target / path.name)
    sync_folder(target)


def sync_tree(folder: Path) -> None:
    """Have the system write a folder and all files in it to the disk now."""
    for path in folder.rglob("*"):
        if path.is_file():
            sync_file(path)
        elif path.is_dir():
            sync_folder(path)
    sync_folder(folder)


def remove_parts(folder: Path) -> None:
    """Remove temporary files and folders that a killed process has left directly in a folder."""
    for path in folder.glob(f".*{PART_SUFFIX}"):
        if path.is_dir():
            rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

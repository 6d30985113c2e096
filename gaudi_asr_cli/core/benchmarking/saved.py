"""Saved benchmark results, for later comparison."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from gaudi_asr_cli.core.errors import DataError, UsageError
from gaudi_asr_cli.core.whole_files import make_folder, open_whole

SCHEMA = "bench/1"


@contextmanager
def open_new(path: Path) -> Iterator[TextIO]:
    """Open a new text file, creating its folder if needed; it appears when it is complete.

    Raises:
        UsageError: The file already exists.
    """
    make_folder(path.parent)
    try:
        with open_whole(path, newline="", new=True) as file:
            yield file
    except FileExistsError:
        raise _exists_error(path) from None


def require_new_files(paths: Sequence[Path | None]) -> None:
    """Check before the run that none of the files to be written exists.

    Raises:
        UsageError: One of them exists.
    """
    for path in paths:
        if path is not None and path.exists():
            raise _exists_error(path)


def _exists_error(path: Path) -> UsageError:
    return UsageError(
        f"{path} exists and is not overwritten.", remedy="Choose another name, or move the file."
    )


def save_result(path: Path, result: Mapping[str, Any]) -> None:
    """Write a result of `bench` to a new file.

    Raises:
        UsageError: The file already exists.
    """
    with open_new(path) as file:
        json.dump(result, file, indent=2, ensure_ascii=False)
        file.write("\n")


@dataclass(frozen=True, slots=True)
class SavedResult:
    """A result and the file that contains it."""

    path: Path
    result: dict[str, Any]


def read_results(paths: Sequence[Path]) -> tuple[SavedResult, ...]:
    """Read results written by `bench --save` or `bench --json`.

    Raises:
        DataError: A file does not exist, or is not a result of bench.
    """
    return tuple(SavedResult(path, _read_result(path)) for path in paths)


def _read_result(path: Path) -> dict[str, Any]:
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"There is no file {path}.", remedy="Check the path.") from None
    except (json.JSONDecodeError, UnicodeDecodeError, IsADirectoryError) as error:
        raise DataError(f"{path} is not a saved result: {error}.", remedy=_REMEDY) from error
    if not isinstance(result, dict) or result.get("schema") != SCHEMA:
        raise DataError(f"{path} is not a result of bench.", remedy=_REMEDY)
    return result


_REMEDY = "Compare files written by `gaudi-asr bench --save FILE`."

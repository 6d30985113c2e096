"""Results that were put aside, to be laid beside others later."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from gaudi_asr_cli.core.errors import DataError, UsageError

SCHEMA = "bench/1"


def open_new(path: Path) -> TextIO:
    """A new text file, its folder made where there is none.

    Raises:
        UsageError: The file exists already.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return path.open("x", encoding="utf-8", newline="")
    except FileExistsError:
        raise _taken(path) from None


def require_new_files(paths: Sequence[Path | None]) -> None:
    """Tell before the work, not after it, that a file to be written exists.

    Raises:
        UsageError: One does.
    """
    for path in paths:
        if path is not None and path.exists():
            raise _taken(path)


def _taken(path: Path) -> UsageError:
    return UsageError(
        f"{path} exists; nothing is overwritten.", remedy="Choose another name, or move it away."
    )


def save_result(path: Path, result: Mapping[str, Any]) -> None:
    """Write a result of `bench` into a new file.

    Raises:
        UsageError: The file exists already.
    """
    with open_new(path) as file:
        json.dump(result, file, indent=2, ensure_ascii=False)
        file.write("\n")


@dataclass(frozen=True, slots=True)
class SavedResult:
    """A result and the file that it lies in."""

    path: Path
    result: dict[str, Any]


def read_results(paths: Sequence[Path]) -> tuple[SavedResult, ...]:
    """Results that `bench --save` or `bench --json` wrote.

    Raises:
        DataError: A file is not there, or holds something else.
    """
    return tuple(SavedResult(path, _read_result(path)) for path in paths)


def _read_result(path: Path) -> dict[str, Any]:
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"There is no file {path}.", remedy="Check the path.") from None
    except (json.JSONDecodeError, UnicodeDecodeError, IsADirectoryError) as error:
        raise DataError(f"{path} is no saved result: {error}.", remedy=_HOW) from error
    if not isinstance(result, dict) or result.get("schema") != SCHEMA:
        raise DataError(f"{path} holds no result of bench.", remedy=_HOW)
    return result


_HOW = "Compare files that `gaudi-asr bench --save FILE` wrote."

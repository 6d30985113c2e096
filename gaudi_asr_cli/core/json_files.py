"""Read JSON files of other programs: an object, or an error that names the file."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

from gaudi_asr_cli.core.errors import DataError

MAX_JSON_DEPTH = 64
"""Maximum nesting depth. Files of models have ten levels at most, and libraries that copy a value
recursively fail at a few hundred."""

MAX_JSON_BYTES = 40_000_000
"""The largest tokenizers of text models have 34 MB; parsed, a file takes up to 20 times that."""

BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


def read_json_object(path: Path, *, remedy: str) -> dict[str, Any]:
    """Read a file that holds one JSON object.

    Args:
        path: Path of the file.
        remedy: What the user can do about a broken file.

    Raises:
        DataError: It is no file, is too large, cannot be read, is not JSON in plain UTF-8, is no
            object, or is nested too deeply.
    """
    if is_special(path):
        # Reading it could wait for ever.
        raise DataError(f"{path} is a pipe or a device, not a file.", remedy=remedy)
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise DataError(
                f"{path} has {path.stat().st_size / 1e6:,.0f} MB; no such file is larger than "
                f"{MAX_JSON_BYTES / 1e6:.0f} MB.",
                remedy=remedy,
            )
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.", remedy=remedy) from error
    if content.startswith(BYTE_ORDER_MARKS):
        raise DataError(
            f"{path} begins with a byte order mark, which JSON does not allow.",
            remedy="Save the file again as UTF-8 without a byte order mark.",
        )
    value = _parse(content, path, remedy)
    if not isinstance(value, dict):
        raise DataError(f"{path} does not hold a JSON object.", remedy=remedy)
    if _is_too_deep(value):
        raise DataError(f"{path} is nested more than {MAX_JSON_DEPTH} levels deep.", remedy=remedy)
    return value


def is_special(path: Path) -> bool:
    """Return whether it is neither a file nor a folder, but a pipe, a socket or a device."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _parse(content: bytes, path: Path, remedy: str) -> Any:
    if not content.strip():
        raise DataError(f"{path} is empty.", remedy=remedy)
    try:
        return json.loads(content.decode("utf-8"))
    except RecursionError:
        raise DataError(f"{path} is nested too deeply.", remedy=remedy) from None
    except ValueError as error:
        # Also text that is not UTF-8, and numbers with more digits than Python reads.
        raise DataError(f"{path} is not valid JSON: {error}.", remedy=remedy) from error


def _is_too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_JSON_DEPTH):
        if not level:
            return False
        level = [child for node in level for child in _children(node)]
    return bool(level)


def _children(value: Any) -> list[Any]:
    children = value.values() if isinstance(value, dict) else value
    return [child for child in children if isinstance(child, (dict, list))]

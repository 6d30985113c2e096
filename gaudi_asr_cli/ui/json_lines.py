"""Results for programs: one JSON object on one line."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from enum import Enum
from typing import Any

from gaudi_asr_cli.ui.console import print_result


def json_line(value: Mapping[str, Any]) -> str:
    """The object on one line, readable (UTF-8), strictly JSON: a number that is none is null."""
    plain = _plain(value)
    line = json.dumps(plain, ensure_ascii=False, allow_nan=False)
    try:
        line.encode()
    except UnicodeEncodeError:
        # A file name that is not UTF-8 holds lone surrogates, which only escapes can carry.
        return json.dumps(plain, allow_nan=False)
    return line


def print_json(value: Mapping[str, Any]) -> None:
    """The object as one line of standard output, at once."""
    print_result(json_line(value))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    return str(value)

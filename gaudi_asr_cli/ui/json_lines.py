"""Results for programs: one JSON object per line."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from enum import Enum
from typing import Any

from gaudi_asr_cli.ui.console import print_result


def json_line(value: Mapping[str, Any]) -> str:
    """Return the object as one line of strict JSON in UTF-8; NaN and infinity become null."""
    plain = _plain(value)
    line = json.dumps(plain, ensure_ascii=False, allow_nan=False)
    try:
        line.encode()
    except UnicodeEncodeError:
        # A file name that is not UTF-8 holds lone surrogates, which must be escaped.
        return json.dumps(plain, allow_nan=False)
    return line


def print_json(value: Mapping[str, Any]) -> None:
    """Print the object as one line of standard output and flush it."""
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

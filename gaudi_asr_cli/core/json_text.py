"""JSON as it is written into files: readable, and UTF-8 whatever a file name holds."""

from __future__ import annotations

import json
from typing import Any


def json_text(value: Any, *, indent: int | None = None) -> str:
    """Return the value as JSON; what JSON does not know is written as its name.

    Lone surrogates, which stand for the bytes of file names that are not UTF-8, are escaped.
    """
    text = json.dumps(value, ensure_ascii=False, indent=indent, default=str)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent, default=str)
    return text

"""JSON text for files: readable, and valid UTF-8 for any file name."""

from __future__ import annotations

import json
from typing import Any


def json_text(value: Any, *, indent: int | None = None) -> str:
    """Return the value as JSON; types that JSON lacks are written as strings.

    Lone surrogates, which represent the bytes of file names that are not UTF-8, are escaped.
    """
    text = json.dumps(value, ensure_ascii=False, indent=indent, default=str)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent, default=str)
    return text

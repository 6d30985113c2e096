"""Local paths in values that leave the machine: replaced by `/path/to/NAME`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PLACEHOLDER = "/path/to/"
_PARTS = re.compile(r"((?:[a-z]{2,}:(?!//))?)([^#]*)(.*)", re.DOTALL)
"""A layout's prefix, the path, and `#SPLIT`."""
_WINDOWS = re.compile(r"[A-Za-z]:[\\/]")
_BEGINNINGS = ("~/", "./", "../", "file://", "\\\\")


def is_local_path(text: str) -> bool:
    """Return whether a value is a path of this machine, not a hub id, a URL or other text.

    An absolute path has two parts or exists: the token `/` is not one. A relative one exists and
    has a separator, or begins with a dot or `~`.
    """
    if not text or "\n" in text or text.startswith(PLACEHOLDER):
        return False
    if text.startswith(_BEGINNINGS) or _WINDOWS.match(text):
        return True
    if text.startswith("/"):
        return "/" in text[1:].strip("/") or (text.strip("/") != "" and _exists(text))
    return "/" in text and "://" not in text and _exists(text)


def hide_local_path(text: str) -> str:
    """Return `/path/to/NAME` for a local path, with its layout and split; other text unchanged."""
    match = _PARTS.fullmatch(text)
    if match is None or not is_local_path(match[2]):
        return text
    name = re.split(r"[/\\]", match[2].rstrip("/\\"))[-1].lstrip("~.")
    return f"{match[1]}{PLACEHOLDER}{name}{match[3]}"


def hide_local_paths(value: Any) -> Any:
    """Return a JSON value with each string in it passed through `hide_local_path`."""
    if isinstance(value, str):
        return hide_local_path(value)
    if isinstance(value, Mapping):
        return {key: hide_local_paths(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [hide_local_paths(item) for item in value]
    return value


def _exists(text: str) -> bool:
    try:
        return Path(text).exists()
    except (OSError, ValueError):
        # Too long, or contains NUL.
        return False

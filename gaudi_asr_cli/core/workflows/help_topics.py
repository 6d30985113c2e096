"""`help`: the documents that ship with the package."""

from __future__ import annotations

import re
from pathlib import Path

_PACKAGED = Path(__file__).parents[2] / "docs"
_CHECKED_OUT = Path(__file__).parents[3] / "docs"
_COMMENT = re.compile(r"<!--.*?-->\n*", re.DOTALL)


def list_topics() -> dict[str, str]:
    """Return the title of each topic, by name."""
    return {file.stem: _title(file) for file in _files()}


def read_topic(name: str) -> str | None:
    """Return the text of a topic, Markdown without comments; None: there is no such topic."""
    wanted = name.lower().replace("_", "-").removesuffix(".md")
    for file in _files():
        if file.stem == wanted:
            return _COMMENT.sub("", file.read_text(encoding="utf-8")).strip()
    return None


def _files() -> list[Path]:
    folder = _PACKAGED if _PACKAGED.is_dir() else _CHECKED_OUT
    return sorted(folder.glob("*.md"))


def _title(file: Path) -> str:
    with file.open(encoding="utf-8") as lines:
        return next((line.lstrip("# ").strip() for line in lines if line.startswith("#")), "")

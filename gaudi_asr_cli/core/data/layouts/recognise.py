"""Recognise the layout at a path."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gaudi_asr_cli.core.data.layouts import LAYOUTS, PLAIN_FOLDER
from gaudi_asr_cli.core.errors import DataError

_SHOWN_ENTRIES = 8


def recognise_layout(path: Path) -> str:
    """Return the name of the layout at `path`, which exists.

    Raises:
        DataError: No layout recognises it.
    """
    layout = next(find_layouts(path), None)
    if layout is not None:
        return layout
    named = [name for name, one in LAYOUTS.items() if one.needs_path]
    raise DataError(
        f"{path}: no speech is recognised here ({_describe(path)}).",
        remedy=f"Name the layout: LAYOUT:{path}, one of {', '.join(named)}.",
    )


def find_layouts(path: Path) -> Iterator[str]:
    """Yield the layouts that recognise a file or directory, in the order of the registry."""
    for name in sorted(LAYOUTS, key=lambda name: name == PLAIN_FOLDER):
        detect = LAYOUTS[name].detect
        if detect is not None and detect(path):
            yield name


def _describe(path: Path) -> str:
    if not path.is_dir():
        return f"a {path.suffix or 'bare'} file"
    entries = sorted(child.name for child in path.iterdir())[:_SHOWN_ENTRIES]
    return f"it holds {', '.join(entries) or 'nothing'}"

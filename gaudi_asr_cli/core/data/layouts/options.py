"""Options of every layout's reader."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gaudi_asr_cli.core.records import Utterance


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How to read a source.

    Args:
        split: One split, or several joined by `+`; None where the source has only one.
        config: Configuration of a hub dataset, or the folder of that name in a local one.
        text_column: Name of the text column, where it is an unusual one.
        needs_text: Whether a missing text column is an error.
    """

    split: str | None = None
    config: str | None = None
    text_column: str | None = None
    needs_text: bool = True


Reader = Callable[[Path, ReadOptions], Iterator[Utterance]]
"""Read one split at a path, lazily and without opening audio."""

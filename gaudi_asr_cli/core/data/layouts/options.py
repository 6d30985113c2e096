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
        language: Of files with several audio tracks, one tagged with it is preferred.
    """

    split: str | None = None
    config: str | None = None
    text_column: str | None = None
    needs_text: bool = True
    language: str | None = None


Reader = Callable[[Path, ReadOptions], Iterator[Utterance]]
"""Reads one split of what lies at a path, lazily and without opening audio."""


@dataclass(frozen=True, slots=True)
class Layout:
    """A dataset layout of the registry. The defaults are safe for one that says no more.

    Args:
        read: Reads one split; it raises where text is needed and cannot be found.
        detect: Returns whether a file or directory, which exists, has this layout; None if only
            LAYOUT:PATH selects it.
        aliases: Other names of the layout in LAYOUT:PATH.
        needs_path: Its place is a file or directory that must exist.
        lists_all_audio: Its list should name every audio file beside it; others are reported.
        has_split_tables: Other tables of its folder are splits of the same data.
    """

    read: Reader
    detect: Callable[[Path], bool] | None = None
    aliases: tuple[str, ...] = ()
    needs_path: bool = True
    lists_all_audio: bool = False
    has_split_tables: bool = False

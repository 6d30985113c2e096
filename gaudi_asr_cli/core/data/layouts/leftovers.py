"""What lies in a folder beside what is read of it: said, so that nobody takes a part for all."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gaudi_asr_cli.core.data.layouts.audiofolder import find_rivals
from gaudi_asr_cli.core.data.layouts.folder import find_audio_files
from gaudi_asr_cli.core.data.layouts.lists import find_lists
from gaudi_asr_cli.core.data.layouts.manifest import find_manifests
from gaudi_asr_cli.core.data.layouts.recognise import find_layouts
from gaudi_asr_cli.core.records import Utterance

_WHOLE_FOLDER = frozenset({"audiofolder", "kaldi", "ljspeech", "mls"})
"""Layouts whose list should name every audio file that lies beside it."""

_OF_SPLITS = frozenset({"commonvoice", "spontaneous"})
"""Layouts whose other tables are splits of the same data."""

_LINE = re.compile(r", line \d+$")


@dataclass(frozen=True, slots=True)
class Source:
    """A source taken apart: `place` is a path, or what `hub` and `demo` take for one.

    `recognised` says that nobody named the layout.
    """

    layout: str
    place: Path
    splits: tuple[str | None, ...]
    recognised: bool = False


def note_leftovers(
    utterances: Iterator[Utterance], source: Source, note: Callable[[str], None]
) -> Iterator[Utterance]:
    """Yield the utterances; when they end, note what else the folder holds.

    Args:
        utterances: What is read of the folder.
        source: The folder, and as which layout it is read; who names that is told of no other.
        note: Receives a sentence for each kind of leftover.
    """
    named: set[Path] = set()
    lists: set[str] = set()
    for utterance in utterances:
        named.add(utterance.audio.path)
        lists.add(_LINE.sub("", utterance.origin))
        yield utterance
    # A closed folder in it holds nothing that could have been read.
    with suppress(OSError):
        for sentence in _describe_leftovers(source, named, set(map(Path, lists - {""}))):
            note(sentence)


def _describe_leftovers(source: Source, named: set[Path], lists: set[Path]) -> Iterator[str]:
    layout, place = source.layout, source.place
    others = [name for name in find_layouts(place) if name not in (layout, "folder")]
    if others and source.recognised:
        yield (
            f"{place} was read as {layout}; it also holds {', '.join(others)}, which was not read "
            f"(write {others[0]}:{place} for that)"
        )
    unread = [file for file in _find_lists(layout, place, lists) if file not in lists]
    if unread and source.recognised:
        yield (
            f"{place} was read as {layout}; {_list(unread)} also names audio and was not read "
            "(give its path to read it)"
        )
    for folder in sorted({file.parent for file in lists} if layout in _WHOLE_FOLDER else ()):
        # Resolved: a list may name its files in a roundabout way.
        known = {path.resolve() for path in named}
        left = [file for file in find_audio_files(folder) if file.resolve() not in known]
        if left:
            yield (
                f"{folder}: no row names {len(left)} of its audio files, {left[0]} first; "
                "they were not read"
            )


def _find_lists(layout: str, place: Path, lists: set[Path]) -> list[Path]:
    if layout in _OF_SPLITS:
        return []
    # Manifests beside the one that is read are other splits.
    splits = set(find_manifests(place).values()) if layout == "manifest" else set()
    found = [rival for file in lists for rival in find_rivals(file)]
    return sorted({*found, *find_lists(place)} - splits)


def _list(files: list[Path]) -> str:
    return ", ".join(file.name for file in files[:3]) + (", ..." if len(files) > 3 else "")

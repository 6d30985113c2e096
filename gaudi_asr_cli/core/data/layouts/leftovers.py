"""Notes on what a folder holds besides what is read, so that a part is not taken for the whole."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gaudi_asr_cli.core.data.layouts import LAYOUTS, PLAIN_FOLDER
from gaudi_asr_cli.core.data.layouts.audiofolder import find_other_metadata
from gaudi_asr_cli.core.data.layouts.folder import find_audio_files
from gaudi_asr_cli.core.data.layouts.lists import find_lists
from gaudi_asr_cli.core.data.layouts.manifest import find_manifests
from gaudi_asr_cli.core.data.layouts.recognise import find_layouts
from gaudi_asr_cli.core.records import Utterance

_LINE = re.compile(r", line \d+$")


@dataclass(frozen=True, slots=True)
class Source:
    """A parsed source: `place` is a path, or what `hub` and `demo` take for one.

    `recognised` is set where the user did not name the layout.
    """

    layout: str
    place: Path
    splits: tuple[str | None, ...]
    recognised: bool = False


def note_leftovers(
    utterances: Iterator[Utterance], source: Source, note: Callable[[str], None]
) -> Iterator[Utterance]:
    """Yield the utterances; at the end, note what else the folder contains.

    Args:
        utterances: The utterances that are read.
        source: The folder and its layout; where the user named it, other layouts are not noted.
        note: Receives a sentence for each kind of leftover.
    """
    named: set[Path] = set()
    lists: set[str] = set()
    for utterance in utterances:
        named.add(utterance.audio.path)
        lists.add(_LINE.sub("", utterance.origin))
        yield utterance
    # A sub-folder without permission contains nothing that could have been read.
    with suppress(OSError):
        for sentence in _describe_leftovers(source, named, set(map(Path, lists - {""}))):
            note(sentence)


def _describe_leftovers(source: Source, named: set[Path], lists: set[Path]) -> Iterator[str]:
    layout, place = source.layout, source.place
    others = [name for name in find_layouts(place) if name not in (layout, PLAIN_FOLDER)]
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
    complete = LAYOUTS[layout].lists_all_audio
    for folder in sorted({file.parent for file in lists} if complete else ()):
        # Resolved: paths in a list may contain `..` or links.
        known = {path.resolve() for path in named}
        left = [file for file in find_audio_files(folder) if file.resolve() not in known]
        if left:
            yield (
                f"{folder}: no row names {len(left)} of its audio files, {left[0]} first; "
                "they were not read"
            )


def _find_lists(layout: str, place: Path, lists: set[Path]) -> list[Path]:
    if LAYOUTS[layout].has_split_tables:
        return []
    # Other manifests of the folder are other splits.
    splits = set(find_manifests(place).values()) if layout == "manifest" else set()
    found = [other for file in lists for other in find_other_metadata(file)]
    return sorted({*found, *find_lists(place)} - splits)


def _list(files: list[Path]) -> str:
    return ", ".join(file.name for file in files[:3]) + (", ..." if len(files) > 3 else "")

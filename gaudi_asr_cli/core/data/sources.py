"""Data sources: one grammar for every `--data`, `--train` and `--eval`.

SOURCE  = [LAYOUT:]PLACE[#SPLIT[+SPLIT...]]
PLACE   = a path, whose layout is recognised unless named, or a dataset's id on the hub
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from gaudi_asr_cli.core.data.layouts import LAYOUTS, PLAIN_FOLDER
from gaudi_asr_cli.core.data.layouts.leftovers import Source, note_leftovers
from gaudi_asr_cli.core.data.layouts.options import ReadOptions
from gaudi_asr_cli.core.data.layouts.recognise import recognise_layout
from gaudi_asr_cli.core.data.moved_ids import find_replacement
from gaudi_asr_cli.core.data.paths import MISSING, expand_home, find_path_problem, shorten_path
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.records import Utterance

__all__ = ["ReadOptions", "Source", "parse_source", "read_utterances"]

_HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$")
_LAYOUT_PREFIX = re.compile(r"^([a-z]{2,}):(?!//)(.*)$", re.DOTALL)


_DEFAULTS = ReadOptions()


def _ignore(note: str) -> None:
    """Discard a note."""


def read_utterances(
    source: str, options: ReadOptions = _DEFAULTS, note: Callable[[str], None] = _ignore
) -> Iterator[Utterance]:
    """Yield the utterances of `source`, lazily and without decoding audio; ids are unique.

    An error of the source itself is raised at once, that of a line when it is reached. A row that
    cannot be used has a `rejection`, and the others are read.

    Args:
        source: A source in the grammar above.
        options: Which split, and which columns.
        note: Called at the end with what else the folder contains and was not read.

    Raises:
        DataError: There is no such source, or a line is broken; the error names it.
        UnreachableError: A hub dataset cannot be reached.
    """
    parsed = parse_source(source, options.split)
    layout = LAYOUTS[parsed.layout]
    parts = (layout.read(parsed.place, replace(options, split=split)) for split in parsed.splits)
    joined = (utterance for part in parts for utterance in part)
    if options.language:
        joined = (_prefer_track(utterance, options.language) for utterance in joined)
    unique = _not_empty(_with_unique_ids(joined, parsed.place), source)
    if options.text_column or (options.needs_text and parsed.layout != PLAIN_FOLDER):
        unique = _with_some_text(unique, source, parsed.layout)
    if not layout.needs_path or not parsed.place.is_dir():
        return unique
    return note_leftovers(unique, parsed, note)


def _prefer_track(utterance: Utterance, language: str) -> Utterance:
    """Return an utterance of which no track is named with the language of the one to prefer."""
    if utterance.audio.track is not None:
        return utterance
    return replace(utterance, audio=replace(utterance.audio, track=language))


def parse_source(source: str, split: str | None = None) -> Source:
    """Parse a source; a split in it takes precedence over the argument `split`.

    Raises:
        DataError: No such file or layout, or no layout is recognised.
    """
    layout, place = _split_layout(source)
    # A file name may contain a `#` too.
    if "#" in place and not _exists(place):
        place, _, split = place.rpartition("#")
    path = expand_home(place)
    recognised = layout is None
    layout = layout or _find_layout(place, path)
    if LAYOUTS[layout].needs_path and not _exists(place):
        raise _no_such_file(place, path)
    if split and path.is_file():
        raise DataError(
            f"{place} is a single file and has no split {split!r}.",
            remedy="Leave the split out, or give the folder that contains the file.",
        )
    splits: tuple[str | None, ...] = tuple(split.split("+")) if split else (None,)
    return Source(layout, path, splits, recognised)


def _split_layout(source: str) -> tuple[str | None, str]:
    if source == "demo" or source.startswith("demo#"):
        return "demo", source[len("demo") :]
    match = _LAYOUT_PREFIX.match(source)
    if match is None or _exists(source):
        return None, source
    named = match[1] if match[1] in LAYOUTS else _find_alias(match[1])
    if named is not None:
        return named, match[2]
    near = get_close_matches(match[1], LAYOUTS, n=1)
    hint = f" Did you mean {near[0]}:{match[2]}?" if near else ""
    raise DataError(
        f"{source}: there is no layout {match[1]!r}.{hint}",
        remedy=f"Layouts are {', '.join(LAYOUTS)}; a path needs none where it is recognised.",
    )


def _find_alias(name: str) -> str | None:
    """Return the layout of which `name` is an alias."""
    return next((layout for layout, one in LAYOUTS.items() if name in one.aliases), None)


def _find_layout(place: str, path: Path) -> str:
    if _exists(place):
        return recognise_layout(path)
    if find_replacement(place) is not None or _looks_like_hub_id(place):
        return "hub"
    raise _no_such_file(place, path)


def _looks_like_hub_id(place: str) -> bool:
    """Return whether it is `owner/name`, no folder `owner` exists, and the name has no suffix."""
    owner, _, name = place.partition("/")
    is_file_name = re.search(r"\.[A-Za-z]\w{1,6}$", name) is not None
    return _HUB_ID.match(place) is not None and not is_file_name and not Path(owner).exists()


def _exists(place: str) -> bool:
    try:
        return bool(place) and expand_home(place).exists()
    except (OSError, ValueError):
        # Too long, or contains NUL: not a path of any file.
        return False


def _no_such_file(place: str, path: Path) -> DataError:
    problem = find_path_problem(path) or ""
    if place and not problem.startswith(MISSING):
        return DataError(f"{shorten_path(place)}: {problem}", remedy="Give another path.")
    parent = next((p for p in path.parents if p.is_dir()), Path())
    missing = next(iter(path.relative_to(parent).parts), "")
    names = [name.name for name in parent.iterdir()] if os.access(parent, os.R_OK) else []
    near = get_close_matches(missing, names, n=3, cutoff=0.6)
    hint = f" Did you mean {' or '.join(str(parent / name) for name in near)}?" if near else ""
    return DataError(
        f"{place}: there is no such file or folder.{hint}",
        remedy="Give a path that exists, or a dataset of the hub as OWNER/NAME.",
    )


def _with_unique_ids(utterances: Iterable[Utterance], root: Path) -> Iterator[Utterance]:
    """Yield utterances with unique ids: a repeated one becomes the path below `root`, no suffix."""
    seen: set[str] = set()
    repeats: dict[str, int] = {}
    for utterance in utterances:
        name = utterance.id
        if name in seen:
            name = _path_below(utterance, root)
        while name in seen:
            repeats[name] = repeats.get(name, 1) + 1
            name = f"{name}-{repeats[name]}"
        seen.add(name)
        yield utterance if name == utterance.id else replace(utterance, id=name)


def _path_below(utterance: Utterance, root: Path) -> str:
    path, base = utterance.audio.path, root if root.is_dir() else root.parent
    if utterance.audio.row is not None or not path.is_relative_to(base):
        return utterance.id
    return path.relative_to(base).with_suffix("").as_posix()


def _not_empty(utterances: Iterator[Utterance], source: str) -> Iterator[Utterance]:
    empty = True
    for utterance in utterances:
        empty = False
        yield utterance
    if empty:
        raise DataError(
            f"{source}: there is no utterance in it.",
            remedy="Check that it is the right file or split, and that it is complete.",
        )


def _with_some_text(
    utterances: Iterator[Utterance], source: str, layout: str
) -> Iterator[Utterance]:
    """Yield the utterances; a layout that finds no text at all must not lose it silently.

    Raises:
        DataError: At the end, if not one of the utterances that can be used has a text.
    """
    found, usable = False, 0
    for utterance in utterances:
        found = found or utterance.text is not None
        usable += not utterance.rejection
        yield utterance
    if usable and not found:
        raise DataError(
            f"{source}: none of its {usable:,} utterances has a text (layout {layout}).",
            remedy="Name the layout, LAYOUT:PATH, or the column that holds the text with "
            "--text-column NAME where the layout has columns.",
        )

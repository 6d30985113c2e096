"""Names of transcripts: the tree of the inputs, mirrored, without two files of one name."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import PurePosixPath

MAX_NAME_BYTES = 255
"""The longest file name that common file systems accept."""
RESERVED_BYTES = len("...4194304-99999.part")
"""What the name of a temporary file adds."""
UNNAMED = "unnamed"


def plan_names(
    paths: Sequence[str], root: str, formats: Collection[str], kept: Mapping[str, str]
) -> dict[str, str]:
    """Return the name of each input's transcripts, without their suffix, relative to the folder.

    It is the path below `root` without its suffix. Inputs for which that is the same name, also on
    file systems that ignore case or composition, keep their suffixes (`a.wav` and `a.mp3` become
    `a.wav.txt` and `a.mp3.txt`); where that does not tell them apart, they are numbered from -2.

    Args:
        paths: Absolute paths; one that is not below `root` is named by its last part.
        root: Absolute path of a folder.
        formats: Suffixes of the files of each input.
        kept: Names by path from an earlier run, which stay.
    """
    relative = {path: _below(path, root) for path in paths}
    stems = {path: _without_suffix(one) for path, one in relative.items()}
    shared = Counter(map(fold_name, stems.values()))
    taken = _Taken(formats, [*stems.values(), *kept.values()])
    for name in kept.values():
        taken.add(name)
    names = {}
    for path in paths:
        if path in kept:
            names[path] = kept[path]
            continue
        alone = shared[fold_name(stems[path])] == 1
        names[path] = taken.take([stems[path], relative[path]] if alone else [relative[path]])
    return names


def fold_name(name: str) -> str:
    """Return what names share that are one on some file system: case, composition."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


class _Taken:
    """Names in use, and the folders that they need."""

    def __init__(self, formats: Collection[str], names: Iterable[str]) -> None:
        self._formats = formats
        self._names: set[str] = set()
        self._numbers: Counter[str] = Counter()
        self._folders = {
            fold_name(str(parent)) for name in names for parent in PurePosixPath(name).parents
        }

    def add(self, name: str) -> None:
        self._names.add(fold_name(name))

    def take(self, wishes: Sequence[str]) -> str:
        """Return the first name that is free, or the last one with the first free number."""
        for wish in wishes:
            name = self._fit(wish, "")
            if self._is_free(name):
                self.add(name)
                return name
        key = fold_name(wishes[-1])
        self._numbers[key] = max(self._numbers[key], 1)
        while True:
            self._numbers[key] += 1
            name = self._fit(wishes[-1], f"-{self._numbers[key]}")
            if self._is_free(name):
                self.add(name)
                return name

    def _is_free(self, name: str) -> bool:
        files = (fold_name(f"{name}.{suffix}") for suffix in self._formats)
        return fold_name(name) not in self._names and self._folders.isdisjoint(files)

    def _fit(self, name: str, ending: str) -> str:
        """Return the name with its ending, its last part as short as file systems require."""
        folder, _, last = name.rpartition("/")
        added = RESERVED_BYTES + max(map(len, self._formats))
        while len(os.fsencode(last + ending)) + added > MAX_NAME_BYTES:
            last = last[:-1]
        return f"{folder}/{last}{ending}" if folder else last + ending


def _below(path: str, root: str) -> str:
    prefix = root.rstrip("/") + "/"
    return path.removeprefix(prefix) if path.startswith(prefix) else os.path.basename(path)  # noqa: PTH119


def _without_suffix(name: str) -> str:
    folder, _, last = name.rpartition("/")
    stem = PurePosixPath(last).stem if last else UNNAMED
    return f"{folder}/{stem}" if folder else stem

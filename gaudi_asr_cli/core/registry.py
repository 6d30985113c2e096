"""Plugins by name: a registry is the only list of its kind, and loads a record when it is used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from typing import TypeVar

from gaudi_asr_cli.core.errors import UsageError

RecordT = TypeVar("RecordT")


class Registry(Mapping[str, RecordT]):
    """Records by name, in the order of `paths`; names are known without importing a record.

    `paths` maps a name to "module:record". A plugin is a file that defines the record and a line
    in `paths`.
    """

    def __init__(self, kind: str, paths: dict[str, str]) -> None:
        self.kind = kind
        self.paths = paths

    def __getitem__(self, name: str) -> RecordT:
        module, _, record = self.paths[name].partition(":")
        found: RecordT = getattr(import_module(module), record)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self.paths)

    def __len__(self) -> int:
        return len(self.paths)

    def __contains__(self, name: object) -> bool:
        return name in self.paths

    def find(self, name: str) -> RecordT:
        """Return the record of that name.

        Raises:
            UsageError: There is none; the message suggests similar names.
        """
        check_name(self.kind, name, self)
        return self[name]


def check_name(kind: str, name: str, known: Iterable[str]) -> None:
    """Check that a name is one of `known`; `kind` says in an error what it names.

    Raises:
        UsageError: It is not; the message suggests similar names and the remedy lists all.
    """
    names = list(known)
    if name not in names:
        raise UsageError(
            f"There is no {kind} {name!r}.{suggest_names(name, names)}",
            remedy=f"Choose one of {', '.join(names)}.",
        )


def suggest_names(name: str, known: Iterable[str]) -> str:
    """Return " Did you mean ...?" for the most similar names; empty if none is similar."""
    from difflib import get_close_matches

    close = get_close_matches(name, list(known), n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(close)}?" if close else ""

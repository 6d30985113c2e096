"""One row a flag of the old scripts: how it takes values, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Literal

Takes = Literal["switch", "text", "number", "list", "any"]


class FlagStatus(str, Enum):
    """What became of a flag. Kept and passed-on ones need no notice: they do what they did."""

    RENAMED = "renamed"
    KEPT = "kept"
    PASSED = "passed on"
    DROPPED = "dropped"
    DANGEROUS = "dangerous"


@dataclass(frozen=True, slots=True)
class OldFlag:
    """A flag of an old script.

    Args:
        name: As the script spelt it, without hyphens in front.
        takes: A switch, with or without a value; text or a number; a list without quotes;
            anything or nothing, where no value matters.
        fate: What became of it.
        key: The key of a recipe that takes its value as it is; empty where more is to be said.
        becomes: What it is here, where that is not an option for `key`.
        about: One line for people, the consequence included.
    """

    name: str
    takes: Takes
    fate: FlagStatus
    key: str = ""
    becomes: str = ""
    about: str = ""

    @property
    def spelling(self) -> str:
        return f"--{self.name}"

    def told(self, spell: Callable[[str], str]) -> str:
        """What became of it, in one sentence without the flag's own name.

        Args:
            spell: The option that sets a key of a recipe.
        """
        here = self.becomes or (spell(self.key) if self.key else "")
        is_here = f"is {here}" if here else ""
        return "; ".join(part for part in (is_here, self.about) if part)


Table = Mapping[str, OldFlag]


def renamed(name: str, takes: Takes, key: str, about: str = "") -> OldFlag:
    """A flag whose value is taken by a key of the recipe."""
    return OldFlag(name, takes, FlagStatus.RENAMED, key=key, about=about)


def moved(name: str, takes: Takes, becomes: str, about: str = "") -> OldFlag:
    """A flag that means one or several options here."""
    return OldFlag(name, takes, FlagStatus.RENAMED, becomes=becomes, about=about)


def dropped(name: str, takes: Takes, about: str) -> OldFlag:
    """A flag that has nothing to do here."""
    return OldFlag(name, takes, FlagStatus.DROPPED, about=about)


def dropped_all(names: str, about: str) -> list[OldFlag]:
    """Several flags whose values do not matter, dropped for the same reason."""
    return [dropped(name, "any", about) for name in names.split()]


def dangerous(name: str, takes: Takes, about: str, *, key: str = "", becomes: str = "") -> OldFlag:
    """A flag that does harm, followed (with a key) or not."""
    return OldFlag(name, takes, FlagStatus.DANGEROUS, key=key, becomes=becomes, about=about)


def passed(names: str, takes: Takes) -> list[OldFlag]:
    """Fields of transformers' TrainingArguments that go on to them as they are."""
    return [
        OldFlag(name, takes, FlagStatus.PASSED, key=f"trainer.{name}", about=_PASSED)
        for name in names.split()
    ]


_PASSED = "goes on to transformers' TrainingArguments"


def table(*parts: Iterable[OldFlag]) -> dict[str, OldFlag]:
    """Flags by name; those of later parts replace those of earlier ones."""
    return {flag.name: flag for part in parts for flag in part}

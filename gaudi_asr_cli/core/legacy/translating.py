"""An old command as today's options and keys of a recipe, with a line on what became of each flag.

Values are set as they were, and so are the defaults that the scripts had and recipes have not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gaudi_asr_cli.core.errors import UsageError
from gaudi_asr_cli.core.legacy.flags import FlagStatus, OldFlag, Table
from gaudi_asr_cli.core.legacy.reading import Given

Spell = Callable[[str], str]
"""The option of today's command line that sets a key of a recipe."""


@dataclass(frozen=True, slots=True)
class OldNotice:
    """What became of a flag, or of what the script did unasked (then `flag` names a key)."""

    flag: str
    fate: str
    message: str


@dataclass(frozen=True, slots=True)
class Translation:
    """An old command in today's words.

    Args:
        script: The script that it was written for.
        settings: Key of a recipe -> value, the script's own defaults first.
        options: Words of today's command line that are no keys of a recipe.
        rest: Words that were today's already; they come last, and so win.
        notices: One for each flag of which something is to be told.
        trains: Whether anything is trained; otherwise a model is scored.
        numbers_run: Whether the run folder, where it exists, may be another of that name.
        former_pattern: What the script removed from the text, as a regular expression.
    """

    script: str
    settings: Mapping[str, Any]
    options: tuple[str, ...]
    rest: tuple[str, ...]
    notices: tuple[OldNotice, ...]
    trains: bool = True
    numbers_run: bool = False
    former_pattern: str | None = None


@dataclass
class Draft:
    """A translation while it is made."""

    given: Given
    table: Table
    settings: dict[str, Any] = field(default_factory=dict)
    options: list[str] = field(default_factory=list)
    told: dict[str, str] = field(default_factory=dict)
    extra: list[OldNotice] = field(default_factory=list)

    def tell(self, flag: str, message: str) -> None:
        """Say this of a flag, instead of what the table says."""
        if flag in self.given:
            self.told[flag] = message

    def number(self, name: str) -> int | float | None:
        """The value of a flag that takes a number; None where it was not given.

        Raises:
            UsageError: It is no number.
        """
        text = self.given.values.get(name)
        return None if text is None else as_number(name, text)

    def notices(self, spell: Spell) -> tuple[OldNotice, ...]:
        """In the order of the command line, then what was not asked for."""
        found = []
        for name in self.given.names():
            flag = self.table[name]
            message = self.told.get(name, _noted(flag, self.given, spell))
            if message:
                found.append(OldNotice(flag.spelling, flag.fate.value, message))
        return (*found, *map(_repeated, self.given.repeated), *self.extra)


def _noted(flag: OldFlag, given: Given, spell: Spell) -> str:
    """Nothing of what is done as ever, nor of what was switched off and would not be done."""
    refused = flag.fate in {FlagStatus.DROPPED, FlagStatus.DANGEROUS}
    off = flag.takes == "switch" and not given.is_true(flag.name)
    if flag.fate in {FlagStatus.KEPT, FlagStatus.PASSED} or (refused and off):
        return ""
    return "" if spell(flag.key) == flag.spelling else flag.told(spell)


def _repeated(name: str) -> OldNotice:
    return OldNotice(f"--{name}", "repeated", "was given more than once; the last one counts")


def as_number(name: str, text: str) -> int | float:
    """A number as the scripts read it.

    Raises:
        UsageError: It is none.
    """
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    raise UsageError(f"--{name}: {text!r} is no number.", remedy=f"For example --{name} 3")


def keyed_values(given: Given, table: Table) -> dict[str, Any]:
    """The values of flags that have a key of their own."""
    return {
        table[name].key: _value(table[name], text)
        for name, text in given.values.items()
        if table[name].key
    }


def _value(flag: OldFlag, text: str) -> Any:
    if flag.takes == "switch":
        return text == "true"
    return as_number(flag.name, text) if flag.takes == "number" else text


def defaults_notice(defaults: Mapping[str, Any]) -> OldNotice:
    """What the script set unasked, in one line."""
    set_ = ", ".join(f"{key} {_shown(value)}" for key, value in defaults.items())
    return OldNotice("", "set", f"as the script had it unless told: {set_}")


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def first_given(given: Given, names: Sequence[str]) -> str | None:
    """The value of the first of several flags that mean the same."""
    return next((given.values[name] for name in names if name in given.values), None)

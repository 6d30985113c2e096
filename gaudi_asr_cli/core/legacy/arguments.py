"""Parse the words of a legacy command as the scripts' own parser, argparse, did."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from gaudi_asr_cli.core.errors import UsageError
from gaudi_asr_cli.core.legacy.flags import LegacyFlag, Table

_TRUE = frozenset({"true", "t", "yes", "y", "1"})
_FALSE = frozenset({"false", "f", "no", "n", "0"})
_UNAMBIGUOUS = frozenset({"true", "false", "yes", "no"})
_LAUNCHER_FLAGS = frozenset({
    "use_mpi", "use_deepspeed", "nproc_per_node", "world_size", "num_gpus", "num_processes", "n",
    "np", "nnodes", "num_nodes", "hostfile", "node_rank", "master_addr", "master_port",
    "rdzv_backend", "rdzv_endpoint", "rdzv_id", "max_restarts",
})  # fmt: skip
_NOW_WITH_VALUE = frozenset({"push_to_hub"})
"""Switches of the scripts whose name is now that of an option with a value."""
_OTHER_DASH = re.compile("[\u2010-\u2015\u2212]+(?=[A-Za-z])")
"""What word processors turn two hyphens into."""
_NUMBER = re.compile(r"-(\d|\.\d)")


@dataclass(frozen=True, slots=True)
class Arguments:
    """The parsed arguments of a legacy command.

    Args:
        values: Flag -> value, `true` or `false` for a switch. The last of several values counts.
        lists: Flag that takes a list -> its items.
        repeated: Flags that were given more than once.
        rest: Words that belong to none of the legacy flags, in order.
    """

    values: dict[str, str]
    lists: dict[str, tuple[str, ...]]
    repeated: tuple[str, ...]
    rest: tuple[str, ...]

    def __contains__(self, name: str) -> bool:
        return name in self.values or name in self.lists

    def is_true(self, name: str) -> bool:
        """Return whether a switch was given and not turned off."""
        return self.values.get(name) == "true"

    def names(self) -> tuple[str, ...]:
        """Return every legacy flag that was given."""
        return (*self.values, *self.lists)

    def first_of(self, names: Sequence[str]) -> str | None:
        """Return the value of the first given flag of several synonyms."""
        return next((self.values[name] for name in names if name in self.values), None)


def is_flag(word: str) -> bool:
    """Return whether argparse takes a word as a flag: not `-` alone, nor a negative number."""
    return len(word) > 1 and word[0] == "-" and word != "--" and not _NUMBER.match(word)


def is_value(word: str) -> bool:
    """Return whether a word can be the value of the option before it."""
    return word != "--" and not is_flag(word) and not _OTHER_DASH.match(word)


def flag_name(word: str) -> str:
    """Return the name in a word: `num_train_epochs` for `--num-train-epochs=3`."""
    return word.partition("=")[0].removeprefix("--").replace("-", "_")


def parse_arguments(
    words: Sequence[str],
    table: Table,
    is_current: Callable[[str], bool],
    *,
    has_arguments: bool = False,
) -> Arguments:
    """Parse the words of a legacy command.

    Only flags of the table take values, and a switch takes only a boolean: a misspelled flag never
    consumes the next word.

    Args:
        words: The words after the command's name.
        table: The flags of the legacy script.
        is_current: Whether a word is an option of the current command; those go to `rest`.
        has_arguments: Whether the current command takes positional arguments: a `1` after a switch
            is then one of them, and only `true` or `=1` is the value of the switch.

    Raises:
        UsageError: A flag is unknown (with the nearest known flag), or has no value.
    """
    booleans = _UNAMBIGUOUS if has_arguments else _TRUE | _FALSE
    parser = _Parser(list(words), table, is_current, booleans)
    parser.parse()
    return Arguments(parser.values, parser.lists, tuple(parser.repeated), tuple(parser.rest))


class _Parser:
    def __init__(
        self,
        words: list[str],
        table: Table,
        is_current: Callable[[str], bool],
        booleans: frozenset[str],
    ) -> None:
        self.words = words
        self.table = table
        self.is_current = is_current
        self.booleans = booleans
        self.values: dict[str, str] = {}
        self.lists: dict[str, tuple[str, ...]] = {}
        self.repeated: dict[str, None] = {}
        self.rest: list[str] = []

    def parse(self) -> None:
        while self.words:
            word = self.words.pop(0)
            if word == "--":
                self.rest += [word, *self.words]
                return
            flag, turned_on = self._find(word)
            if _OTHER_DASH.match(word):
                raise _other_dash(word)
            if flag is not None and self._is_current_with_value(flag, word):
                self.rest += [word] if "=" in word else [word, self.words.pop(0)]
            elif flag is not None:
                self._parse_flag(flag, word, turned_on)
            elif not is_flag(word) or self.is_current(word):
                self.rest.append(word)
            else:
                raise self._unknown(word)

    def _is_current_with_value(self, flag: LegacyFlag, word: str) -> bool:
        """Return whether a word is today's option: with a value that no switch takes."""
        if flag.name not in _NOW_WITH_VALUE or not self.is_current(word):
            return False
        _, equals, value = word.partition("=")
        if not equals:
            value = self.words[0] if self._next_is_value() else "true"
        return value.lower() not in _TRUE | _FALSE

    def _find(self, word: str) -> tuple[LegacyFlag | None, bool]:
        """Return the flag, and False for the form `--no_...`, which every switch has."""
        if not word.startswith("--"):
            return None, True
        name = flag_name(word)
        if name in self.table:
            return self.table[name], True
        positive = self.table.get(name.removeprefix("no_"))
        is_switch = positive is not None and positive.value_kind == "switch"
        return (positive, False) if is_switch and name.startswith("no_") else (None, True)

    def _parse_flag(self, flag: LegacyFlag, word: str, turned_on: bool) -> None:
        if flag.name in self.values or flag.name in self.lists:
            self.repeated[flag.name] = None
        _, equals, value = word.partition("=")
        if flag.value_kind == "list":
            self.lists[flag.name] = (value,) if equals else self._parse_list(flag)
        elif flag.value_kind == "switch":
            text = value if equals else self._parse_boolean()
            self.values[flag.name] = _normalise_boolean(flag, text, turned_on)
        else:
            self.values[flag.name] = value if equals else self._parse_value(flag)

    def _parse_list(self, flag: LegacyFlag) -> tuple[str, ...]:
        items = []
        while self._next_is_value():
            items.append(self.words.pop(0))
        if not items:
            raise _no_value(flag)
        return tuple(items)

    def _next_is_value(self) -> bool:
        return bool(self.words) and is_value(self.words[0])

    def _parse_boolean(self) -> str:
        if self.words and self.words[0].lower() in self.booleans:
            return self.words.pop(0)
        return "true"

    def _parse_value(self, flag: LegacyFlag) -> str:
        if self._next_is_value():
            return self.words.pop(0)
        if flag.value_kind == "any":
            return "true"
        raise _no_value(flag)

    def _unknown(self, word: str) -> UsageError:
        option = word.partition("=")[0]
        if flag_name(word) in _LAUNCHER_FLAGS:
            return UsageError(
                f"{option} is a launcher's option, not the script's.",
                remedy="Write --cards N (on several nodes --nodes, --node-rank and --master "
                "HOST:PORT) after the script's own flags instead; gaudi-asr import-command takes "
                "the whole line with its launcher.",
            )
        suggestion = suggest(option, (flag.option for flag in self.table.values()))
        return UsageError(
            f"Neither the old script nor gaudi-asr has an option {option}.",
            remedy=f"{suggestion}`gaudi-asr help old-commands` lists every flag of the scripts.",
        )


def _other_dash(word: str) -> UsageError:
    name = word.partition("=")[0]
    return UsageError(
        f"{name} begins with a dash that is not a hyphen.",
        remedy=f"Write {_OTHER_DASH.sub('--', name)}: word processors join two hyphens into one.",
    )


def suggest(word: str, candidates: Iterable[str]) -> str:
    """Return `Did you mean ...? ` with the nearest candidates, or the empty string."""
    known = list(candidates)
    name = "--" + word.lstrip("-").replace("-", "_")
    matches = [option for option in known if option.startswith(name) and len(name) > len("--x")][:3]
    matches = matches or difflib.get_close_matches(name, known)
    return f"Did you mean {' or '.join(matches)}? " if matches else ""


def _normalise_boolean(flag: LegacyFlag, text: str, turned_on: bool) -> str:
    if text.lower() not in _TRUE | _FALSE:
        raise UsageError(
            f"{flag.option} takes true or false, not {text!r}.",
            remedy=f"Write {flag.option} alone for true.",
        )
    return "true" if (text.lower() in _TRUE) == turned_on else "false"


def _no_value(flag: LegacyFlag) -> UsageError:
    return UsageError(
        f"{flag.option} has no value.", remedy=f"Write {flag.option} VALUE, or leave it out."
    )

"""Words of an old command taken apart as the scripts' own parser (argparse) did."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from gaudi_asr_cli.core.errors import UsageError
from gaudi_asr_cli.core.legacy.flags import OldFlag, Table

TRUE = frozenset({"true", "t", "yes", "y", "1"})
FALSE = frozenset({"false", "f", "no", "n", "0"})
WORDS = frozenset({"true", "false", "yes", "no"})
MOST_CARDS = frozenset({"nproc_per_node", "world_size", "num_gpus", "num_processes", "n", "np"})
"""Flags of launchers that say how many processes there are."""
LEGACY_LAUNCHERS = frozenset({
    "use_mpi", "use_deepspeed", *MOST_CARDS, "nnodes", "num_nodes", "hostfile", "node_rank",
    "master_addr", "master_port", "rdzv_backend", "rdzv_endpoint", "rdzv_id", "max_restarts",
})  # fmt: skip
_OTHER_DASH = re.compile("[\u2010-\u2015\u2212]+(?=[A-Za-z])")
"""What word processors make of two hyphens."""
_NUMBER = re.compile(r"-(\d|\.\d)")


@dataclass(frozen=True, slots=True)
class Given:
    """What an old command says.

    Args:
        values: Flag -> its value; of a switch `true` or `false`. The last of several counts.
        lists: Flag that takes a list -> its items.
        repeated: Flags that were given more than once.
        rest: Words that are none of the old flags', in order.
    """

    values: dict[str, str]
    lists: dict[str, tuple[str, ...]]
    repeated: tuple[str, ...]
    rest: tuple[str, ...]

    def __contains__(self, name: str) -> bool:
        return name in self.values or name in self.lists

    def is_true(self, name: str) -> bool:
        """Whether a switch was given and not switched off."""
        return self.values.get(name) == "true"

    def names(self) -> tuple[str, ...]:
        """Every old flag that was given."""
        return (*self.values, *self.lists)


def is_flag(word: str) -> bool:
    """As argparse has it: `-` alone and negative numbers are values."""
    return len(word) > 1 and word[0] == "-" and word != "--" and not _NUMBER.match(word)


def is_value(word: str) -> bool:
    """Whether an option in front may take the word."""
    return word != "--" and not is_flag(word) and not _OTHER_DASH.match(word)


def underscored(word: str) -> str:
    """`--num-train-epochs=3` and `--num_train_epochs` are both `num_train_epochs`."""
    return word.partition("=")[0].removeprefix("--").replace("-", "_")


def read_words(
    words: Sequence[str],
    table: Table,
    is_ours: Callable[[str], bool],
    *,
    has_arguments: bool = False,
) -> Given:
    """Take the words of a command apart.

    Only a flag of the table takes values here, and a switch only what says true or false: a
    misspelt flag never swallows the word after it.

    Args:
        words: What follows the command's name.
        table: The flags of its old script.
        is_ours: Whether a word is an option of today's command; those stay in `rest`.
        has_arguments: Today's command takes words without hyphens: a `1` behind a switch is then
            one of them, and only a `true` or `=1` is the switch's.

    Raises:
        UsageError: A flag that nobody knows (with the nearest), or one without its value.
    """
    truths = WORDS if has_arguments else TRUE | FALSE
    reader = _Reader(list(words), table, is_ours, truths)
    reader.read()
    return Given(reader.values, reader.lists, tuple(reader.repeated), tuple(reader.rest))


class _Reader:
    def __init__(
        self,
        words: list[str],
        table: Table,
        is_ours: Callable[[str], bool],
        truths: frozenset[str],
    ) -> None:
        self.words = words
        self.table = table
        self.is_ours = is_ours
        self.truths = truths
        self.values: dict[str, str] = {}
        self.lists: dict[str, tuple[str, ...]] = {}
        self.repeated: dict[str, None] = {}
        self.rest: list[str] = []

    def read(self) -> None:
        while self.words:
            word = self.words.pop(0)
            if word == "--":
                self.rest += [word, *self.words]
                return
            flag, switched_on = self._find(word)
            if _OTHER_DASH.match(word):
                raise _other_dash(word)
            if flag is not None:
                self._take(flag, word, switched_on)
            elif not is_flag(word) or self.is_ours(word):
                self.rest.append(word)
            else:
                raise self._unknown(word)

    def _find(self, word: str) -> tuple[OldFlag | None, bool]:
        """The flag, and whether it is spelt `--no_...`, as every switch could be."""
        if not word.startswith("--"):
            return None, True
        name = underscored(word)
        if name in self.table:
            return self.table[name], True
        positive = self.table.get(name.removeprefix("no_"))
        negated = positive is not None and positive.takes == "switch" and name.startswith("no_")
        return (positive, False) if negated else (None, True)

    def _take(self, flag: OldFlag, word: str, switched_on: bool) -> None:
        if flag.name in self.values or flag.name in self.lists:
            self.repeated[flag.name] = None
        _, equals, value = word.partition("=")
        if flag.takes == "list":
            self.lists[flag.name] = (value,) if equals else self._take_list(flag)
        elif flag.takes == "switch":
            said = value if equals else self._take_boolean()
            self.values[flag.name] = _truth(flag, said, switched_on)
        else:
            self.values[flag.name] = value if equals else self._take_value(flag)

    def _take_list(self, flag: OldFlag) -> tuple[str, ...]:
        items = []
        while self._next_is_value():
            items.append(self.words.pop(0))
        if not items:
            raise _no_value(flag)
        return tuple(items)

    def _next_is_value(self) -> bool:
        return bool(self.words) and is_value(self.words[0])

    def _take_boolean(self) -> str:
        if self.words and self.words[0].lower() in self.truths:
            return self.words.pop(0)
        return "true"

    def _take_value(self, flag: OldFlag) -> str:
        if self._next_is_value():
            return self.words.pop(0)
        if flag.takes == "any":
            return "true"
        raise _no_value(flag)

    def _unknown(self, word: str) -> UsageError:
        spelling = word.partition("=")[0]
        if underscored(word) in LEGACY_LAUNCHERS:
            return UsageError(
                f"{spelling} is a launcher's option, not the script's.",
                remedy="Write --cards N (of several nodes --nodes, --node-rank and --master "
                "HOST:PORT) behind the script's own flags instead; gaudi-asr import-command takes "
                "the whole line, launcher and all.",
            )
        near = nearest(spelling, (flag.spelling for flag in self.table.values()))
        return UsageError(
            f"Neither the old script nor gaudi-asr has an option {spelling}.",
            remedy=f"{near}gaudi-asr help old-commands lists every flag of the scripts.",
        )


def _other_dash(word: str) -> UsageError:
    name = word.partition("=")[0]
    return UsageError(
        f"{name} begins with a dash that is no hyphen.",
        remedy=f"Write {_OTHER_DASH.sub('--', name)}: word processors join two hyphens into one.",
    )


def nearest(word: str, candidates: Iterable[str]) -> str:
    """`Did you mean ...? `, or nothing where nothing is near or begins so."""
    known = list(candidates)
    name = "--" + word.lstrip("-").replace("-", "_")
    close = [*(one for one in known if one.startswith(name) and len(name) > len("--x"))][:3]
    close = close or difflib.get_close_matches(name, known)
    return f"Did you mean {' or '.join(close)}? " if close else ""


def _truth(flag: OldFlag, said: str, switched_on: bool) -> str:
    if said.lower() not in TRUE | FALSE:
        raise UsageError(
            f"{flag.spelling} takes true or false, not {said!r}.",
            remedy=f"Write {flag.spelling} alone for true.",
        )
    return "true" if (said.lower() in TRUE) == switched_on else "false"


def _no_value(flag: OldFlag) -> UsageError:
    return UsageError(
        f"{flag.spelling} has no value.", remedy=f"Write {flag.spelling} VALUE, or leave it out."
    )

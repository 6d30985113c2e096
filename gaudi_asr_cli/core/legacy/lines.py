"""A line as it stands in a shell script or README: where in it an old script is called."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from gaudi_asr_cli.core.errors import UsageError
from gaudi_asr_cli.core.legacy.flags import Table
from gaudi_asr_cli.core.legacy.launchers import find_script
from gaudi_asr_cli.core.legacy.reading import is_flag, underscored
from gaudi_asr_cli.core.legacy.scripts import SCRIPTS
from gaudi_asr_cli.core.legacy.shell import Command, Word, read_commands
from gaudi_asr_cli.core.legacy.translating import OldNotice
from gaudi_asr_cli.core.secret_values import hide_in_line

_OPTION = re.compile(r"--?[\w-]+=")
_NAMES = re.compile("|".join(re.escape(script.name) for script in SCRIPTS.values()))
_VARIABLE = re.compile(r"\$(\{[^`$]*\}|\w+|[@*#?!$-])")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*\+?=")
DEPTH = 8
"""Shells within shells that are looked into."""
SHOWN = 100
"""Characters of another command that are shown."""


@dataclass(frozen=True, slots=True)
class OldLine:
    """The call of an old script.

    Args:
        front: What stood before the script, of every shell around it.
        script: One of `SCRIPTS`.
        words: What followed the script's name.
        notices: What the shell would have done besides.
    """

    front: tuple[str, ...]
    script: str
    words: tuple[Word, ...]
    notices: tuple[OldNotice, ...]


def find_old_command(line: Sequence[str], depth: int = 0) -> OldLine:
    """Find the call of an old script.

    Args:
        line: One word of shell text, or words that a shell has taken apart already.
        depth: How many shells stand around it.

    Raises:
        UsageError: No old script is called, or the text cannot be taken apart.
    """
    whole = [Command(tuple(Word(word) for word in line))]
    commands = read_commands(line[0]) if len(line) == 1 else whole
    chosen = _choose(commands)
    if chosen is None:
        raise _no_script()
    around = tuple(_notices(commands, chosen))
    words = commands[chosen].words
    place = find_script([word.text for word in words])
    if place is None:
        return _look_inside(words, around, depth)
    return OldLine(
        tuple(word.text for word in words[:place]),
        _script_of(words[place].text),
        words[place + 1 :],
        around,
    )


def _no_script() -> UsageError:
    names = ", ".join(script.name for script in SCRIPTS.values())
    return UsageError(
        "No old script is called in this line.", remedy=f"Those that are known: {names}."
    )


def _script_of(word: str) -> str:
    file = PurePath(word).name.removesuffix(".py")
    return next(key for key, script in SCRIPTS.items() if script.name == f"{file}.py")


def _look_inside(words: Sequence[Word], around: tuple[OldNotice, ...], depth: int) -> OldLine:
    """Read the word that is a shell's text itself, as behind `bash -c` and in `--wrap=`."""
    place = next(place for place, word in enumerate(words) if _NAMES.search(word.text))
    if depth == DEPTH:
        raise UsageError(
            "Too many shells stand within each other in this line.",
            remedy="Give the innermost command alone.",
        )
    text = words[place].text
    option = _OPTION.match(text)
    inner = find_old_command([text[option.end() :] if option else text], depth + 1)
    front = [word.text for word in words[:place]]
    rest = " ".join(word.text for word in words[place + 1 :])
    left = (
        [OldNotice(hide_in_line(rest), "dropped", "of the shell around the command")]
        if rest
        else []
    )
    return OldLine(
        (*front, *inner.front), inner.script, inner.words, (*around, *left, *inner.notices)
    )


def _choose(commands: Sequence[Command]) -> int | None:
    """The first command that calls a script with options; else one that names it at all."""
    texts = [[word.text for word in command.words] for command in commands]
    for fits in (_calls_script, _names_script, _holds_script):
        place = next((place for place, words in enumerate(texts) if fits(words)), None)
        if place is not None:
            return place
    return None


def _calls_script(words: Sequence[str]) -> bool:
    place = find_script(words)
    return place is not None and place + 1 < len(words) and is_flag(words[place + 1])


def _names_script(words: Sequence[str]) -> bool:
    return find_script(words) is not None


def _holds_script(words: Sequence[str]) -> bool:
    return any(_NAMES.search(word) for word in words)


def _notices(commands: Sequence[Command], chosen: int) -> Iterator[OldNotice]:
    """What a shell would have done besides the chosen command."""
    for place, command in enumerate(commands):
        if place != chosen:
            yield _other_command(command, before=place < chosen)
    for redirection in commands[chosen].redirections:
        about = "a redirection is the shell's: write it behind today's command again"
        yield OldNotice(hide_in_line(redirection), "kept", about)
    if commands[chosen].after == "&":
        yield OldNotice("&", "kept", "ran it in the background: write it behind again")
    if commands[chosen].glued:
        lines = ", ".join(map(str, commands[chosen].glued))
        about = f"joined to the command, though no backslash ends the line before (line {lines})"
        yield OldNotice("", "repaired", about)


def _other_command(command: Command, *, before: bool) -> OldNotice:
    text = hide_in_line(" ".join([command.text, *command.redirections]))[:SHOWN]
    first = command.words[0].text
    if _calls_script([word.text for word in command.words]):
        about = "another old command of the line: translate it by itself"
    elif command.before.startswith("|") and command.before != "||":
        text, about = f"| {text}", "reads what the command writes: write it behind again"
    elif before and (_ASSIGNMENT.match(first) or first in {"export", "source", "."}):
        return OldNotice(text, "kept", "belongs to the environment: do it before again")
    else:
        when = "before" if before else "after"
        about = f"another command of the line, not translated: run it {when} today's yourself"
    return OldNotice(text, "kept", about)


def set_aside_unknown(
    words: Sequence[Word], table: Table
) -> tuple[list[str], tuple[OldNotice, ...]]:
    """Leave out what cannot be translated because only a shell could say what it is.

    A text stays as it was written, for a shell to expand; where a number, a switch or a list is
    wanted, or an option's name, nothing can be made of it.

    Args:
        words: What followed the script's name.
        table: The script's flags.

    Returns:
        The words that can be translated, and a notice for each unknown.
    """
    reader = _Unknown(table)
    for word in words:
        reader.take(word)
    return reader.kept, tuple(reader.notices)


class _Unknown:
    """Sorts words into those that can be translated and those that cannot."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.kept: list[str] = []
        self.notices: list[OldNotice] = []
        self.in_forgotten_list = False

    def take(self, word: Word) -> None:
        self.in_forgotten_list &= not is_flag(word.text)
        if self.in_forgotten_list:
            return
        owner = _owner(word, self.kept, self.table)
        if word.unknown:
            self._take_unknown(word, owner)
            return
        self.kept.append(word.text)
        if word.glob and owner is not None and not _takes(owner, self.table, "list"):
            about = f"{word.text} is taken as written; a shell may put names of files in its place"
            self._report(owner, about)

    def _take_unknown(self, word: Word, owner: str | None) -> None:
        shown = hide_in_line(" ".join(word.unknown))
        if owner is None:
            about = "unknown words, left out: nothing is looked up or run"
            self._report(word.text, about)
        elif _takes(owner, self.table, "text", "any"):
            self.kept.append(word.text)
            self._report(owner, f"the value of {shown} is unknown here: it stands as written")
        else:
            self.in_forgotten_list = _takes(owner, self.table, "list")
            _forget(self.kept, owner, word)
            about = f"the value of {shown} is unknown here, so the option is left out: add it"
            self._report(owner, about)

    def _report(self, flag: str, message: str) -> None:
        self.notices.append(OldNotice(hide_in_line(flag), "unknown", message))


def _owner(word: Word, before: Sequence[str], table: Table) -> str | None:
    """The option whose value, or part of it, a word is; None where it is none's."""
    name, equals, _ = word.text.partition("=")
    if is_flag(word.text):
        return name if equals and "$" not in name and "`" not in name else None
    flag = next((one for one in reversed(before) if is_flag(one)), None)
    if flag is None or "=" in flag:
        return None
    if _takes(flag, table, "list"):
        return flag
    return flag if before[-1] == flag and not _takes(flag, table, "switch") else None


def _takes(flag: str, table: Table, *kinds: str) -> bool:
    """Whether a flag takes such a value; of an option of today any may be meant."""
    known = table.get(underscored(flag))
    return "text" in kinds if known is None else known.takes in kinds


def _forget(kept: list[str], owner: str, word: Word) -> None:
    """Take an option back out, with what of its value has been kept."""
    if is_flag(word.text):
        return
    while kept and kept[-1] != owner:
        kept.pop()
    if kept:
        kept.pop()


def is_expandable(expression: str) -> bool:
    """Whether a shell may expand it where it stands: a variable, no command."""
    return _VARIABLE.fullmatch(expression) is not None

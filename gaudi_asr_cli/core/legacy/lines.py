"""Find the call of a legacy script in a line of a shell script or README."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from gaudi_asr_cli.core.errors import UsageError
from gaudi_asr_cli.core.legacy.arguments import flag_name, is_flag
from gaudi_asr_cli.core.legacy.flags import Table, ValueKind
from gaudi_asr_cli.core.legacy.launchers import find_script
from gaudi_asr_cli.core.legacy.scripts import SCRIPTS
from gaudi_asr_cli.core.legacy.shell import Command, Word, read_commands
from gaudi_asr_cli.core.legacy.translation import LegacyNotice
from gaudi_asr_cli.core.secret_values import hide_in_line

_OPTION = re.compile(r"--?[\w-]+=")
_SCRIPT_NAMES = re.compile("|".join(re.escape(script.name) for script in SCRIPTS.values()))
_VARIABLE = re.compile(r"\$(\{[^`$]*\}|\w+|[@*#?!$-])")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*\+?=")
MAX_SHELL_DEPTH = 8
"""Most nested shells, as in `ssh host "bash -c '...'"`."""
_MAX_SHOWN = 100
"""Most characters of another command in a notice."""


@dataclass(frozen=True, slots=True)
class LegacyCall:
    """The call of a legacy script.

    Args:
        front: The words before the script, in every shell around it.
        script: A key of `SCRIPTS`.
        words: The words after the script's name.
        notices: What else the shell would have done.
    """

    front: tuple[str, ...]
    script: str
    words: tuple[Word, ...]
    notices: tuple[LegacyNotice, ...]


def _check_characters(line: Sequence[str]) -> None:
    try:
        "".join(line).encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"The line is not valid UTF-8 at character {error.start + 1}.",
            remedy="Type the line again, or save the file that it comes from as UTF-8.",
        ) from None


def find_call(line: Sequence[str], depth: int = 0) -> LegacyCall:
    """Find the call of a legacy script.

    Args:
        line: One word of shell text, or words that a shell has split already.
        depth: The number of shells around it.

    Raises:
        UsageError: No legacy script is called, or the text cannot be parsed.
    """
    _check_characters(line)
    is_text = len(line) == 1
    commands = read_commands(line[0]) if is_text else [Command(tuple(map(Word, line)))]
    chosen = _choose(commands)
    if chosen is None:
        raise _no_script()
    notices = tuple(_surroundings(commands, chosen))
    words = commands[chosen].words
    index = find_script([word.text for word in words])
    if index is None:
        return _find_nested(words, notices, depth)
    return LegacyCall(
        tuple(word.text for word in words[:index]),
        _script_of(words[index].text),
        words[index + 1 :],
        notices,
    )


def _no_script() -> UsageError:
    names = ", ".join(script.name for script in SCRIPTS.values())
    return UsageError("No old script is called in this line.", remedy=f"Known scripts: {names}.")


def _script_of(word: str) -> str:
    file = PurePath(word).name.removesuffix(".py")
    return next(key for key, script in SCRIPTS.items() if script.name == f"{file}.py")


def _find_nested(
    words: Sequence[Word], notices: tuple[LegacyNotice, ...], depth: int
) -> LegacyCall:
    """Find the call in a word that is shell text itself, as after `bash -c` and in `--wrap=`."""
    index = next(i for i, word in enumerate(words) if _SCRIPT_NAMES.search(word.text))
    if depth == MAX_SHELL_DEPTH:
        raise UsageError(
            "This line has too many nested shells.", remedy="Pass the innermost command alone."
        )
    text = words[index].text
    option = _OPTION.match(text)
    inner = find_call([text[option.end() :] if option else text], depth + 1)
    front = [word.text for word in words[:index]]
    rest = " ".join(word.text for word in words[index + 1 :])
    if rest:
        message = "belongs to the shell around the command"
        notices = (*notices, LegacyNotice(hide_in_line(rest), "dropped", message))
    return LegacyCall((*front, *inner.front), inner.script, inner.words, (*notices, *inner.notices))


def _choose(commands: Sequence[Command]) -> int | None:
    """Return the first command that calls a script with options, else the first that names one."""
    texts = [[word.text for word in command.words] for command in commands]
    for matches in (_calls_script, _names_script, _contains_script):
        index = next((index for index, words in enumerate(texts) if matches(words)), None)
        if index is not None:
            return index
    return None


def _calls_script(words: Sequence[str]) -> bool:
    index = find_script(words)
    return index is not None and index + 1 < len(words) and is_flag(words[index + 1])


def _names_script(words: Sequence[str]) -> bool:
    return find_script(words) is not None


def _contains_script(words: Sequence[str]) -> bool:
    return any(_SCRIPT_NAMES.search(word) for word in words)


def _surroundings(commands: Sequence[Command], chosen: int) -> Iterator[LegacyNotice]:
    """Yield notices on what the shell would have done besides the chosen command."""
    for index, command in enumerate(commands):
        if index != chosen:
            yield _other_command(command, is_before=index < chosen)
    for redirection in commands[chosen].redirections:
        message = "a redirection of the shell: write it after the new command again"
        yield LegacyNotice(hide_in_line(redirection), "kept", message)
    if commands[chosen].after == "&":
        message = "ran the command in the background: write it after the new command again"
        yield LegacyNotice("&", "kept", message)
    if commands[chosen].joined_lines:
        lines = ", ".join(map(str, commands[chosen].joined_lines))
        message = (
            f"joined to the command, although the previous line ends without \\ (line {lines})"
        )
        yield LegacyNotice("", "repaired", message)


def _other_command(command: Command, *, is_before: bool) -> LegacyNotice:
    text = hide_in_line(" ".join([command.text, *command.redirections]))[:_MAX_SHOWN]
    first = command.words[0].text
    if _calls_script([word.text for word in command.words]):
        message = "another old command in the line: translate it separately"
    elif command.before.startswith("|") and command.before != "||":
        text, message = f"| {text}", "reads the command's output: write it after the new command"
    elif is_before and (_ASSIGNMENT.match(first) or first in {"export", "source", "."}):
        message = "sets up the environment: run it before the new command again"
    else:
        when = "before" if is_before else "after"
        message = f"another command in the line, not translated: run it {when} the new command"
    return LegacyNotice(text, "kept", message)


def separate_unknown(
    words: Sequence[Word], table: Table
) -> tuple[list[str], tuple[LegacyNotice, ...]]:
    """Leave out words that cannot be translated because only a shell can expand them.

    A text value is kept unchanged for a shell to expand; a number, switch, list or option name
    cannot be translated.

    Args:
        words: The words after the script's name.
        table: The script's flags.

    Returns:
        The words that can be translated, and a notice for each unknown part.
    """
    separator = _Separator(table)
    for word in words:
        separator.add(word)
    return separator.kept, tuple(separator.notices)


class _Separator:
    """Separates words that can be translated from those that cannot."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.kept: list[str] = []
        self.notices: list[LegacyNotice] = []
        self.in_dropped_list = False

    def add(self, word: Word) -> None:
        self.in_dropped_list &= not is_flag(word.text)
        if self.in_dropped_list:
            return
        option = _option_of(word, self.kept, self.table)
        if word.unknown:
            self._add_unknown(word, option)
            return
        self.kept.append(word.text)
        if word.glob and option is not None and not _takes(option, self.table, "list"):
            message = f"{word.text} is taken as written; a shell may replace it by file names"
            self._report(option, message)

    def _add_unknown(self, word: Word, option: str | None) -> None:
        shown = hide_in_line(" ".join(word.unknown))
        if option is None:
            self._report(word.text, "unknown words, left out: nothing is expanded or run")
        elif _takes(option, self.table, "text", "any"):
            self.kept.append(word.text)
            self._report(option, f"the value of {shown} is unknown here: kept as written")
        else:
            self.in_dropped_list = _takes(option, self.table, "list")
            _drop_option(self.kept, option, word)
            message = f"the value of {shown} is unknown here, so the option is left out: add it"
            self._report(option, message)

    def _report(self, flag: str, message: str) -> None:
        self.notices.append(LegacyNotice(hide_in_line(flag), "unknown", message))


def _option_of(word: Word, before: Sequence[str], table: Table) -> str | None:
    """Return the option that a word is a value of; None where it is not a value."""
    name, equals, _ = word.text.partition("=")
    if is_flag(word.text):
        return name if equals and "$" not in name and "`" not in name else None
    flag = next((previous for previous in reversed(before) if is_flag(previous)), None)
    if flag is None or "=" in flag:
        return None
    if _takes(flag, table, "list"):
        return flag
    return flag if before[-1] == flag and not _takes(flag, table, "switch") else None


def _takes(flag: str, table: Table, *kinds: ValueKind) -> bool:
    """Return whether a flag takes a value of these kinds; current options count as text."""
    known = table.get(flag_name(flag))
    return "text" in kinds if known is None else known.value_kind in kinds


def _drop_option(kept: list[str], option: str, word: Word) -> None:
    """Remove an option and the values kept so far."""
    if is_flag(word.text):
        return
    while kept and kept[-1] != option:
        kept.pop()
    if kept:
        kept.pop()


def is_expandable(expression: str) -> bool:
    """Return whether a shell may expand it in the translation: a variable, not a command."""
    return _VARIABLE.fullmatch(expression) is not None

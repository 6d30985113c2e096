"""Text of `--help`: usage, then the options in panels, in two columns.

Typer's own takes longer to import than everything else that `--help` needs, and changes from
version to version.
"""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

MOST_COLUMNS = 100
_LEFT_MOST_COLUMNS = 30


@dataclass(frozen=True, slots=True)
class HelpRow:
    """An option or argument: its names, the placeholder of its value, its help and default."""

    names: str
    placeholder: str
    about: str
    default: str

    @property
    def left(self) -> str:
        return f"{self.names} {self.placeholder}".strip()

    @property
    def right(self) -> str:
        return f"{self.about} [{self.default}]" if self.default else self.about


def render_help(command: Any, path: str, columns: int | None = None) -> str:
    """Return the whole text of a command of `typer.main.get_command`; `path` is its full name."""
    width = min(columns or shutil.get_terminal_size((80, 24)).columns, MOST_COLUMNS)
    parts = [f"Usage: {usage(command, path)}", ""]
    for paragraph in (command.help or "").split("\n\n"):
        parts += [textwrap.fill(" ".join(paragraph.split()), width), ""]
    panels = help_panels(command)
    left_columns = max(
        (len(row.left) for rows in panels.values() for row in rows if _fits(row)), default=0
    )
    for title, rows in panels.items():
        parts += [f"{title}:", *(_render_row(row, left_columns, width) for row in rows), ""]
    return "\n".join(parts).rstrip()


def render_topics(topics: Mapping[str, str]) -> str:
    """Return the list of `gaudi-asr help`: each topic with its title."""
    width = max(map(len, topics), default=0)
    rows = [f"  {name:<{width}}  {title}" for name, title in topics.items()]
    return "\n".join(["Topics (gaudi-asr help TOPIC):", *rows])


def usage(command: Any, path: str) -> str:
    """Return one line: the command and its arguments."""
    words = ["COMMAND"] if subcommands(command) else []
    for argument in _parameters(command, "argument"):
        name = _argument_name(argument)
        words.append(name if argument.required else f"[{name}]")
    return " ".join([path, "[OPTIONS]", *words])


def help_panels(command: Any) -> dict[str, list[HelpRow]]:
    """Return arguments, options by panel, then subcommands, all in the order of the code."""
    panels: dict[str, list[HelpRow]] = {}
    for argument in _parameters(command, "argument"):
        row = HelpRow(_argument_name(argument), "", argument.help or "", "")
        panels.setdefault("Arguments", []).append(row)
    for option in _parameters(command, "option"):
        if option.name != "help":
            panels.setdefault(option.rich_help_panel or "Options", []).append(_option_row(option))
    for name, about in summaries(command).items():
        panels.setdefault("Commands", []).append(HelpRow(name, "", about, ""))
    return panels


def subcommands(command: Any) -> dict[str, Any]:
    """Return the commands of a group; a command has none."""
    found: dict[str, Any] = getattr(command, "commands", {})
    return found


def summaries(command: Any) -> dict[str, str]:
    """Return the first paragraph of the help of each subcommand."""
    commands = subcommands(command)
    if hasattr(commands, "summaries"):
        found: dict[str, str] = commands.summaries()
        return found
    return {name: (one.help or "").split("\n\n")[0] for name, one in commands.items()}


def _parameters(command: Any, kind: str) -> Iterator[Any]:
    return (one for one in command.params if one.param_type_name == kind and not one.hidden)


def _argument_name(argument: Any) -> str:
    return f"{argument.metavar}..." if argument.nargs == -1 else str(argument.metavar)


def _option_row(option: Any) -> HelpRow:
    short = [name for name in option.opts if not name.startswith("--")]
    long, *aliases = [name for name in option.opts if name.startswith("--")]
    about = option.help or ""
    if aliases:
        about = f"{about} Also {', '.join(aliases)}."
    return HelpRow(", ".join([*short, long]), _placeholder(option), about, _default(option))


def _placeholder(option: Any) -> str:
    if option.is_flag:
        return ""
    if isinstance(option.default, Enum) and not option.metavar:
        return "|".join(str(choice.value) for choice in type(option.default))
    return str(option.metavar or "")


def _default(option: Any) -> str:
    if option.required:
        return "required"
    if isinstance(option.show_default, str):
        return f"default: {option.show_default}"
    value = option.default.value if isinstance(option.default, Enum) else option.default
    return "" if callable(value) or value in (None, False, "", ()) else f"default: {value}"


def _fits(row: HelpRow) -> bool:
    return len(row.left) <= _LEFT_MOST_COLUMNS


def _render_row(row: HelpRow, left_columns: int, width: int) -> str:
    indent = " " * (left_columns + 4)
    # Joined by a no-break space, so that "[default: auto]" stays in one piece.
    text = row.right.replace("default: ", "default:\u00a0")
    lines = textwrap.wrap(text, width - len(indent), break_on_hyphens=False)
    right = f"\n{indent}".join(lines).replace("\u00a0", " ")
    if not _fits(row):
        return f"  {row.left}\n{indent}{right}"
    return f"  {row.left:<{left_columns}}  {right}"

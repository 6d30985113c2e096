"""What is said to people when something is wrong, or worth knowing: a sentence and a remedy."""

from __future__ import annotations

from rich.text import Text

from gaudi_asr_cli.core.errors import AsrError
from gaudi_asr_cli.ui.console import CONSOLE


def show_error(error: AsrError) -> None:
    """What happened, and what to do about it."""
    _show("error", "bold red", error.message, error.remedy)


def show_notice(message: str, remedy: str = "") -> None:
    """A sentence worth attention; the work goes on."""
    _show("note", "bold yellow", message, remedy)


def show_line(text: str, style: str = "") -> None:
    """A line for people that is neither error nor result."""
    CONSOLE.print(Text(text, style=style), soft_wrap=True)


def _show(label: str, style: str, message: str, remedy: str) -> None:
    # `Text`, not markup: a file may be called "[red].wav". Soft-wrapped, so that a path
    # can be copied whole from a narrow terminal and searched for in a log.
    CONSOLE.print(Text.assemble((f"{label}: ", style), message.rstrip()), soft_wrap=True)
    if remedy:
        CONSOLE.print(Text.assemble(("  try: ", "bold green"), remedy.rstrip()), soft_wrap=True)

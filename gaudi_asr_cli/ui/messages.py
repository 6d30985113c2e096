"""Errors and notices for people: a sentence and a remedy."""

from __future__ import annotations

from rich.text import Text

from gaudi_asr_cli.core.errors import AsrError
from gaudi_asr_cli.ui.console import CONSOLE


def show_error(error: AsrError) -> None:
    """Show an error and its remedy."""
    _show("error", "bold red", error.message, error.remedy)


def show_notice(message: str, remedy: str = "") -> None:
    """Show a notice; the work continues."""
    _show("note", "bold yellow", message, remedy)


def show_line(text: str, style: str = "") -> None:
    """Show a line that is neither an error nor a result."""
    CONSOLE.print(Text(text, style=style), soft_wrap=True)


def show_loading(model: str) -> None:
    """Show on a terminal that a model is loaded: imports alone take seconds, a download minutes."""
    if CONSOLE.is_terminal:
        show_line(f"Loading {model} ...", "dim")


def _show(label: str, style: str, message: str, remedy: str) -> None:
    # `Text`, not markup: a file may be called "[red].wav". Soft-wrapped, so that a path can be
    # copied whole from a narrow terminal and found in a log.
    CONSOLE.print(Text.assemble((f"{label}: ", style), message.rstrip()), soft_wrap=True)
    if remedy:
        CONSOLE.print(Text.assemble(("  try: ", "bold green"), remedy.rstrip()), soft_wrap=True)

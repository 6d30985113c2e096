"""What became of an old command: a line a flag."""

from __future__ import annotations

from rich.text import Text

from gaudi_asr_cli.core.legacy.translating import OldNotice, Translation
from gaudi_asr_cli.ui.console import CONSOLE
from gaudi_asr_cli.ui.messages import show_notice

_STYLES = {"dangerous": "bold red", "missing": "bold red", "unknown": "yellow", "dropped": "dim"}


def show_translation(translation: Translation, moved_to: str | None = None) -> None:
    """Every flag of which something is to be told.

    Args:
        translation: Of the command.
        moved_to: The run folder, where the one that was named exists already.
    """
    show_notice(f"An old command, of {translation.script}. What became of its flags:")
    for notice in translation.notices:
        show_old_notice(notice)
    if moved_to is not None:
        show_old_notice(OldNotice("--output_dir", "renamed", f"exists, so the run is {moved_to}"))


def show_old_notice(notice: OldNotice) -> None:
    """`  --use_habana is --device hpu`; soft-wrapped, so that it can be searched for."""
    style = _STYLES.get(notice.fate, "")
    colon = "" if notice.message.startswith(("is ", "exists", "was ")) else ":"
    name = f"{notice.flag}{colon} " if notice.flag else ""
    label = "dangerous, " if notice.fate == "dangerous" else ""
    CONSOLE.print(Text.assemble("  ", (label + name, style), notice.message), soft_wrap=True)

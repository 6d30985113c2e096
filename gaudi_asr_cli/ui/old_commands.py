"""The status of each flag of a legacy command, one per line."""

from __future__ import annotations

from rich.text import Text

from gaudi_asr_cli.core.legacy.translation import LegacyNotice, Translation
from gaudi_asr_cli.ui.console import CONSOLE
from gaudi_asr_cli.ui.messages import show_notice

_STYLES = {"dangerous": "bold red", "missing": "bold red", "unknown": "yellow", "dropped": "dim"}


def show_translation(translation: Translation, moved_to: str | None = None) -> None:
    """Show the notices of a translation.

    Args:
        translation: The translation of a legacy command.
        moved_to: The run folder, where the one named on the command line exists already.
    """
    show_notice(f"An old command, of {translation.script}. Status of its flags:")
    for notice in translation.notices:
        show_legacy_notice(notice)
    if moved_to is not None:
        message = f"exists, so the run is {moved_to}"
        show_legacy_notice(LegacyNotice("--output_dir", "renamed", message))


def show_legacy_notice(notice: LegacyNotice) -> None:
    """Show a line such as `  --use_habana is --device hpu`; soft-wrapped, so it can be searched."""
    style = _STYLES.get(notice.status, "")
    colon = "" if notice.message.startswith(("is ", "exists", "was ")) else ":"
    name = f"{notice.flag}{colon} " if notice.flag else ""
    label = "dangerous, " if notice.status == "dangerous" else ""
    CONSOLE.print(Text.assemble("  ", (label + name, style), notice.message), soft_wrap=True)

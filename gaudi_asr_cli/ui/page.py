"""Where `report` wrote its page."""

from __future__ import annotations

from gaudi_asr_cli.core.workflows.report.run import PageWritten
from gaudi_asr_cli.ui.console import print_result
from gaudi_asr_cli.ui.messages import show_line
from gaudi_asr_cli.ui.numbers import count, size


def show_page(page: PageWritten) -> None:
    """Print the path of the page on standard output, and its size on standard error."""
    show_line(
        f"{size(page.size_bytes)}, {count(page.utterances, 'utterance')}, {page.with_audio:,} of "
        "them with audio",
        "dim",
    )
    print_result(str(page.path))

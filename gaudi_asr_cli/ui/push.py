"""The report of `push`: the files, the card, and where the model is."""

from __future__ import annotations

from gaudi_asr_cli.core.workflows.push import PushReport
from gaudi_asr_cli.ui.messages import show_line
from gaudi_asr_cli.ui.numbers import count, size
from gaudi_asr_cli.ui.tables import new_table, show_facts, show_table

_DEFAULT_VISIBILITY = "the owner's default, which is public unless set otherwise; see --private"


def show_push(report: PushReport) -> None:
    """Show what was sent, or what would be sent together with the card."""
    table = new_table("file", ">size")
    for file in report.files:
        table.add_row(file.name, size(file.size_bytes))
    show_table("files", table)
    show_facts(
        ("run", str(report.run)),
        ("repository", report.repository.id),
        ("visibility", "private" if report.repository.private else _DEFAULT_VISIBILITY),
        ("size", f"{count(len(report.files), 'file')}, {size(report.size_bytes)}"),
        *([("not sent", ", ".join(report.left_out))] if report.left_out else []),
    )
    if report.url is None:
        show_line("\nREADME.md", "bold")
        show_line(report.card or "There is no model card.")
        show_line("\nNothing was sent. Without --dry-run these files are uploaded.")
    else:
        show_line(f"\nUploaded: {report.url}")
        show_line(f"Try: gaudi-asr infer FILE --model {report.repository.id}")

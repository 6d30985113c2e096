"""The report of `align`: JSON lines, and the utterances that fit their text worst."""

from __future__ import annotations

from gaudi_asr_cli.core.errors import AsrError
from gaudi_asr_cli.core.events import Event, UtteranceDone
from gaudi_asr_cli.core.workflows.align import AlignReport
from gaudi_asr_cli.ui.json_lines import print_json
from gaudi_asr_cli.ui.messages import show_error, show_line
from gaudi_asr_cli.ui.numbers import count
from gaudi_asr_cli.ui.tables import new_table, show_table

_SHOWN = 60


def print_alignments(report: AlignReport) -> None:
    """Print a JSON line for each utterance, failed ones included."""
    for one in report.aligned:
        print_json(one.to_json())


def show_misfit(event: Event) -> None:
    """Show an utterance that could not be aligned, and why."""
    if isinstance(event, UtteranceDone) and event.error is not None:
        remedy = "Correct its text, or leave it out; the others are aligned."
        show_error(AsrError(event.error, remedy=remedy))


def show_worst_fits(report: AlignReport) -> None:
    """Show the lowest scores where there are several utterances, and what was written."""
    if len(report.aligned) > 1:
        table = new_table(">score", "id", "text")
        for one in report.worst:
            text = one.done.transcript.text if one.done.transcript else ""
            table.add_row(f"{one.score:.2f}", one.done.utterance_id, text[:_SHOWN])
        show_table("worst fits of text and audio", table)
    if report.segments:
        show_line(f"{count(report.segments, 'segment')} written as a manifest.")

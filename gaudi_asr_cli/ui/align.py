"""The report of `align`: JSON lines, and the utterances that fit their text worst."""

from __future__ import annotations

from collections.abc import Sequence

from gaudi_asr_cli.core.errors import AsrError
from gaudi_asr_cli.core.events import Event, UtteranceDone
from gaudi_asr_cli.core.workflows.align import AlignedUtterance, AlignReport
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
    """Show the lowest worst scores where there are several utterances, and what was written."""
    if len(report.aligned) > 1:
        show_fits("worst fits of text and audio", report.worst)
    if report.segments:
        show_line(f"{count(report.segments, 'segment')} written as a manifest.")


def show_fits(title: str, worst: Sequence[AlignedUtterance]) -> None:
    """Show the scores of utterances, their texts, and what the model recognises."""
    table = new_table(">worst score", "id", "reference", "hypothesis")
    for one in worst:
        if one.fit is not None and one.done.transcript is not None:
            table.add_row(
                f"{one.fit.worst_score:.2f}",
                one.done.utterance_id,
                one.done.transcript.text[:_SHOWN],
                one.fit.hypothesis[:_SHOWN],
            )
    show_table(title, table)

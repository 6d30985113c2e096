"""The report of `check` as a table: every test, then the remedies."""

from __future__ import annotations

from rich.text import Text

from gaudi_asr_cli.core.workflows.check.findings import CheckFinding
from gaudi_asr_cli.core.workflows.check.run import CheckReport
from gaudi_asr_cli.ui.align import show_fits
from gaudi_asr_cli.ui.console import CONSOLE
from gaudi_asr_cli.ui.messages import show_line
from gaudi_asr_cli.ui.numbers import count, span
from gaudi_asr_cli.ui.tables import new_table, show_table

_STYLES = {"stops": "bold red", "warns": "yellow", "fine": "green"}


def show_check(report: CheckReport) -> None:
    """Show every test, its findings, and whether training can begin."""
    table = new_table("test", "", ">found", "of")
    for finding in report.findings:
        table.add_row(
            finding.kind.replace("_", " "),
            Text(finding.severity, _STYLES[finding.severity]),
            f"{finding.count:,}",
            f"{finding.of:,} {finding.unit}",
        )
    show_table(f"check against {report.model or 'any CTC model'}", table)
    for finding in report.findings:
        if finding.count:
            _show_finding(finding)
    if report.fits is not None and report.fits.worst:
        show_fits(f"worst fits of text and audio by {report.fits.model}", report.fits.worst)
    evaluation = f" and {report.evaluation_utterances:,} to evaluate on"
    data = (
        f"{count(report.utterances, 'utterance')}{evaluation * bool(report.evaluation_utterances)}"
    )
    show_line(f"\n{data}, {span(report.audio_s)}, audio of {report.inspected:,} inspected.")
    verdict, style = (
        ("Training would stop or fail.", "bold red")
        if report.stops
        else ("Training can begin.", "bold green")
    )
    show_line(verdict, style)


def _show_finding(finding: CheckFinding) -> None:
    label = finding.kind.replace("_", " ")
    CONSOLE.print(Text.assemble("\n", (label, _STYLES[finding.severity]), f": {finding.remedy}"))
    for example in finding.examples:
        show_line(f"  {example}")
    if finding.unit == "utterances" and finding.count > len(finding.examples):
        show_line(f"  ... and {finding.count - len(finding.examples):,} more", "dim")

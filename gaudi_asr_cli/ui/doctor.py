"""The report of `doctor` as a table."""

from __future__ import annotations

from itertools import groupby

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gaudi_asr_cli.core.workflows.doctor.findings import DoctorFinding, State
from gaudi_asr_cli.core.workflows.doctor.run import DoctorReport

_MARKS = {
    State.works: ("works", "green"),
    State.absent: ("absent", "yellow"),
    State.broken: ("broken", "bold red"),
}


def show_doctor(report: DoctorReport) -> None:
    """Print the findings on standard output, ready to be pasted into a bug report."""
    console = Console(highlight=False)
    for group, findings in groupby(report.findings, key=lambda finding: finding.group):
        console.print(Text(f"\n{group}", style="bold"))
        console.print(_table(list(findings)))
    verdict = "Everything needed works." if report.healthy else "Something needed is broken."
    console.print(Text(f"\n{verdict}", style="bold green" if report.healthy else "bold red"))


def _table(findings: list[DoctorFinding]) -> Table:
    table = Table.grid(padding=(0, 2), pad_edge=False)
    table.add_column(min_width=18, no_wrap=True)
    table.add_column(min_width=6, no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        mark, style = _MARKS[finding.state]
        detail = Text(finding.detail)
        if finding.remedy:
            detail.append(f"\n{finding.remedy}", style="dim")
        table.add_row(Text(f"  {finding.name}"), Text(mark, style=style), detail)
    return table

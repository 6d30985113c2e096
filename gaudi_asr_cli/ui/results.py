"""The end of a command: its result to standard output for programs, or a table for people."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from gaudi_asr_cli.ui.json_lines import print_json


class Report(Protocol):
    def to_json(self) -> dict[str, Any]: ...


ReportT = TypeVar("ReportT", bound=Report)


def show_result(report: ReportT, show: Callable[[ReportT], None], *, json: bool) -> None:
    """The JSON object where it is asked for, tables otherwise."""
    if json:
        print_json(report.to_json())
    else:
        show(report)

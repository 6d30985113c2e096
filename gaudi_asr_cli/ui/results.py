"""The result of a command: JSON on standard output, or tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from gaudi_asr_cli.ui.json_lines import print_json


class Report(Protocol):
    def to_json(self) -> dict[str, Any]: ...


ReportT = TypeVar("ReportT", bound=Report)


def show_result(report: ReportT, show: Callable[[ReportT], None], *, json: bool) -> None:
    """Print the JSON object if `json`, otherwise show the tables."""
    if json:
        print_json(report.to_json())
    else:
        show(report)

"""The runs of `results` as CSV and as a LaTeX table."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from gaudi_asr_cli.core.workflows.results.published import published_rate
from gaudi_asr_cli.core.workflows.results.run import Entry, ResultsReport
from gaudi_asr_cli.ui.console import print_result
from gaudi_asr_cli.ui.results_table import name_model, name_run

_COMPARED = ("published_as", "published", "difference", "verdict")
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def print_csv(report: ResultsReport) -> None:
    """Print a line for each run and published result that it is compared with."""
    lines = io.StringIO()
    rows = [row for entry in report.entries for row in _csv_rows(entry)]
    names = list(rows[0]) if rows else ["run"]
    writer = csv.DictWriter(lines, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    print_result(lines.getvalue().rstrip("\n"))


def _csv_rows(entry: Entry) -> Iterator[dict[str, object]]:
    values = entry.result.to_json()
    if not entry.comparisons:
        yield {**values, **dict.fromkeys(_COMPARED)}
    for one in entry.comparisons:
        found = (one.recipe.name, published_rate(one.published), one.difference, one.verdict)
        yield {**values, **dict(zip(_COMPARED, found, strict=True))}


def print_latex(report: ResultsReport) -> None:
    """Print the runs as a table of the package booktabs; rates are in percent."""
    print_result(r"\begin{tabular}{lllrrrr}")
    print_result(r"\toprule")
    heads = ("run", "model", "scored on", "error rate", "95 % interval", "CER", "RTFx")
    print_result(_latex_row(heads))
    print_result(r"\midrule")
    for entry in report.entries:
        result = entry.result
        interval = (
            "--"
            if result.rate_low is None or result.rate_high is None
            else f"{100 * result.rate_low:.2f} to {100 * result.rate_high:.2f}"
        )
        cells = (
            name_run(result, report.folder),
            name_model(result),
            result.data or "--",
            _latex_rate(result.rate),
            interval,
            _latex_rate(result.cer),
            "--" if result.rtfx is None else f"{result.rtfx:.1f}",
        )
        print_result(_latex_row(cells))
    print_result(r"\bottomrule")
    print_result(r"\end{tabular}")


def _latex_rate(rate: float | None) -> str:
    return "--" if rate is None else f"{100 * rate:.2f}"


def _latex_row(cells: tuple[str, ...]) -> str:
    escaped = ("".join(_LATEX.get(one, one) for one in cell) for cell in cells)
    return " & ".join(escaped) + r" \\"

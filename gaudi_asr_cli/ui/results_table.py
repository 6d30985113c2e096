"""Runs beside published rows: as tables for people, or as Markdown to paste."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gaudi_asr_cli.core.recipes.catalogue import RecipeInfo
from gaudi_asr_cli.core.workflows.results.published import PublishedComparison
from gaudi_asr_cli.core.workflows.results.run import Entry, ResultsReport
from gaudi_asr_cli.core.workflows.results.runs import RunResult
from gaudi_asr_cli.ui.console import open_result_console, print_result
from gaudi_asr_cli.ui.messages import show_notice
from gaudi_asr_cli.ui.numbers import count, percent
from gaudi_asr_cli.ui.recipes import format_published_rate, published_hardware, published_time
from gaudi_asr_cli.ui.tables import WIDE_COLUMNS, Grid, show_grid

WHOLE = frozenset(
    {"run", "beside", "recipe", "rate", "published", "verdict", "differs or not known"}
)
"""Columns that a wide terminal does not break."""


def show_results_table(report: ResultsReport) -> None:
    """On standard output: the tables are the command's result."""
    console = open_result_console()
    for grid in _grids(report, wide=console.width >= WIDE_COLUMNS):
        show_grid(grid, console=console, whole=WHOLE)
    _report_left_out(report)


def print_markdown(report: ResultsReport) -> None:
    """The same as Markdown tables."""
    for grid in _grids(report):
        print_result(f"### {grid.title}\n")
        print_result(_markdown_row(grid.columns))
        print_result(
            "|" + "".join("--:|" if one in grid.numbers else "---|" for one in grid.columns)
        )
        for row in grid.rows:
            print_result(_markdown_row(row))
        print_result("")
    _report_left_out(report)


def _markdown_row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _report_left_out(report: ResultsReport) -> None:
    for paths, what, remedy in (
        (report.found.unfinished, "did not finish", "Go on with one: --resume --run DIR."),
        (report.found.unreadable, "cannot be read", "Is the report whole, and of this version?"),
    ):
        if paths:
            shown = ", ".join(map(str, paths[:3])) + (", ..." if len(paths) > 3 else "")
            show_notice(f"{count(len(paths), 'run')} {what}: {shown}", remedy)


def _grids(report: ResultsReport, *, wide: bool = True) -> Iterator[Grid]:
    if report.entries:
        yield Grid(
            f"runs in {report.folder}",
            (
                "run",
                "model",
                "scored on",
                "rate",
                "95 % interval",
                "published",
                "difference",
                "verdict",
            ),
            tuple(row for entry in report.entries for row in _run_rows(entry, report.folder)),
            frozenset({"rate", "published", "difference"}),
        )
    yield from _differences(report, wide=wide)
    yield Grid(
        "published",
        ("recipe", "data", "hardware", "rate", "time", "runs here"),
        tuple(_published_row(one, report) for one in report.published),
        frozenset({"rate", "time", "runs here"}),
    )


def _differences(report: ResultsReport, *, wide: bool) -> Iterator[Grid]:
    """What is not the same, or not known to be: one table, or one for each two compared."""
    columns = ("run", "beside", "differs or not known", "here", "published")
    compared = [
        (_name(entry.result, report.folder), beside)
        for entry in report.entries
        for beside in entry.beside
    ]
    groups = [tuple(_telling_rows(run, beside)) for run, beside in compared]
    if wide and any(groups):
        yield Grid("what is not the same", columns, tuple(row for rows in groups for row in rows))
    for rows in groups if not wide else ():
        if rows:
            title = f"what is not the same: {rows[0][0]} beside {rows[0][1]}"
            yield Grid(title, columns[2:], tuple(row[2:] for row in rows))


def _run_rows(entry: Entry, folder: Path) -> Iterator[tuple[str, ...]]:
    result = entry.result
    common = (
        _name(result, folder),
        result.base or "-",
        result.data or "-",
        _rate(result),
        _interval(result),
    )
    if not entry.beside:
        yield (*common, "-", "-", "nothing published for it")
    for place, beside in enumerate(entry.beside):
        shown = common if place == 0 else ("",) * len(common)
        yield (*shown, format_published_rate(beside.published), _difference(beside), beside.verdict)


def _name(result: RunResult, folder: Path) -> str:
    inside = result.run.relative_to(folder)
    name = folder.resolve().name if inside == Path() else str(inside)
    return f"{name}, {result.part}" if result.part else name


def _rate(result: RunResult) -> str:
    if result.rate is None:
        return "-" if result.rtfx is None else f"{result.rtfx:,.1f} x real time"
    return f"{'PER' if result.unit == 'phoneme' else 'WER'} {percent(result.rate)}"


def _interval(result: RunResult) -> str:
    if result.rate_low is None or result.rate_high is None:
        return "-"
    return f"{percent(result.rate_low)} to {percent(result.rate_high)}"


def _difference(beside: PublishedComparison) -> str:
    if beside.difference is None or beside.verdict == "not comparable":
        return "-"
    return f"{100 * beside.difference:+.1f}"


def _telling_rows(run: str, beside: PublishedComparison) -> Iterator[tuple[str, ...]]:
    """What is not the same, or not known to be; the first row names who is compared."""
    names = (run, beside.recipe.name)
    for aspect in beside.aspects:
        if not aspect.same:
            yield (*names, aspect.name, aspect.here, aspect.there)
            names = ("", "")


def _published_row(recipe: RecipeInfo, report: ResultsReport) -> tuple[str, ...]:
    runs = len(report.runs_of(recipe))
    published = recipe.published
    return (
        recipe.name,
        recipe.data,
        published_hardware(published),
        format_published_rate(published),
        published_time(published),
        str(runs) if runs else "-",
    )

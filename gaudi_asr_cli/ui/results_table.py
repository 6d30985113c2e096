"""The report of `results` as tables, or as Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gaudi_asr_cli.core.recipes.catalogue import RecipeInfo
from gaudi_asr_cli.core.recipes.keys import SCRATCH
from gaudi_asr_cli.core.workflows.results.published import PublishedComparison
from gaudi_asr_cli.core.workflows.results.run import Entry, ResultsReport
from gaudi_asr_cli.core.workflows.results.runs import RunResult
from gaudi_asr_cli.ui.console import open_result_console, print_result
from gaudi_asr_cli.ui.messages import show_line, show_notice
from gaudi_asr_cli.ui.numbers import count, percent
from gaudi_asr_cli.ui.recipes import format_published_rate, published_hardware, published_time
from gaudi_asr_cli.ui.tables import WIDE_COLUMNS, Grid, show_grid

WHOLE = frozenset(
    {"run", "published as", "recipe", "rate", "published", "verdict", "differs or not known"}
)
"""Columns that are not wrapped on a wide terminal."""


def show_results_table(report: ResultsReport, *, published: bool = False) -> None:
    """Print the runs on standard output, and published rows that they are compared with.

    All published rows are shown on request, and where there are no runs: more than a screen.
    """
    console = open_result_console()
    for grid in _grids(report, wide=console.width >= WIDE_COLUMNS, published=published):
        show_grid(grid, console=console, whole=WHOLE)
    _report_left_out(report, published=published)


def print_markdown(report: ResultsReport, *, published: bool = False) -> None:
    """Print the tables as Markdown."""
    for grid in _grids(report, published=published):
        print_result(f"### {grid.title}\n")
        print_result(_markdown_row(grid.columns))
        print_result(
            "|" + "".join("--:|" if one in grid.numbers else "---|" for one in grid.columns)
        )
        for row in grid.rows:
            print_result(_markdown_row(row))
        print_result("")
    _report_left_out(report, published=published)


def _markdown_row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _report_left_out(report: ResultsReport, *, published: bool) -> None:
    for paths, what, remedy in (
        (report.found.unfinished, "did not finish", "Continue one with --resume --run DIR."),
        (report.found.unreadable, "cannot be read", "Is the report whole, and of this version?"),
    ):
        if paths:
            shown = ", ".join(map(str, paths[:3])) + (", ..." if len(paths) > 3 else "")
            show_notice(f"{count(len(paths), 'run')} {what}: {shown}", remedy)
    hidden = len(report.published) - len(_published_recipes(report, published=published))
    if hidden:
        show_line(f"{count(hidden, 'more published result')}: gaudi-asr results --published", "dim")


def _published_recipes(report: ResultsReport, *, published: bool) -> tuple[RecipeInfo, ...]:
    return report.published if published or not report.entries else report.compared_recipes()


def _grids(report: ResultsReport, *, published: bool, wide: bool = True) -> Iterator[Grid]:
    if report.entries:
        yield Grid(
            f"runs in {report.folder}",
            (
                "run",
                "model",
                "scored on",
                "rate",
                "95 % interval",
                "CER",
                "loss",
                "published",
                "difference",
                "verdict",
            ),
            tuple(row for entry in report.entries for row in _run_rows(entry, report.folder)),
            frozenset({"rate", "CER", "loss", "published", "difference"}),
        )
    yield from _differences(report, wide=wide)
    recipes = _published_recipes(report, published=published)
    if recipes:
        yield Grid(
            "published",
            ("recipe", "data", "hardware", "rate", "time", "runs here"),
            tuple(_published_row(one, report) for one in recipes),
            frozenset({"rate", "time", "runs here"}),
        )


def _differences(report: ResultsReport, *, wide: bool) -> Iterator[Grid]:
    """Yield the differences: one table, or one per comparison on a narrow terminal."""
    columns = ("run", "published as", "differs or not known", "here", "published")
    compared = [
        (name_run(entry.result, report.folder), comparison)
        for entry in report.entries
        for comparison in entry.comparisons
    ]
    groups = [tuple(_difference_rows(run, comparison)) for run, comparison in compared]
    if wide and any(groups):
        yield Grid("differences", columns, tuple(row for rows in groups for row in rows))
    for rows in groups if not wide else ():
        if rows:
            title = f"differences: {rows[0][0]} and {rows[0][1]}"
            yield Grid(title, columns[2:], tuple(row[2:] for row in rows))


def _run_rows(entry: Entry, folder: Path) -> Iterator[tuple[str, ...]]:
    result = entry.result
    common = (
        name_run(result, folder),
        name_model(result),
        result.data or "-",
        _rate(result),
        _interval(result),
        "-" if result.cer is None else percent(result.cer),
        "-" if result.loss is None else f"{result.loss:.3f}",
    )
    if not entry.comparisons:
        yield (*common, "-", "-", "nothing published for it")
    for number, comparison in enumerate(entry.comparisons):
        shown = common if number == 0 else ("",) * len(common)
        published = format_published_rate(comparison.published)
        yield (*shown, published, _difference(comparison), comparison.verdict)


def name_model(result: RunResult) -> str:
    """Return the model that was scored, and the one that it was trained from, if another."""
    trained = result.base not in (None, result.model)
    if not trained:
        return result.model or "-"
    origin = "trained from scratch" if result.base == SCRATCH else f"from {result.base}"
    if result.kind.startswith("finetune"):
        return origin
    return f"{result.model}, {origin}"


def name_run(result: RunResult, folder: Path) -> str:
    """Return the run's path in the folder, and the part of it that was scored."""
    inside = result.run.relative_to(folder)
    name = folder.resolve().name if inside == Path() else str(inside)
    return f"{name}, {result.part}" if result.part else name


def _rate(result: RunResult) -> str:
    if result.rate is None:
        return "-" if result.rtfx is None else f"RTFx {result.rtfx:,.1f}"
    return f"{'PER' if result.unit == 'phoneme' else 'WER'} {percent(result.rate)}"


def _interval(result: RunResult) -> str:
    if result.rate_low is None or result.rate_high is None:
        return "-"
    return f"{percent(result.rate_low)} to {percent(result.rate_high)}"


def _difference(comparison: PublishedComparison) -> str:
    if comparison.difference is None or comparison.verdict == "not comparable":
        return "-"
    return f"{100 * comparison.difference:+.1f}"


def _difference_rows(run: str, comparison: PublishedComparison) -> Iterator[tuple[str, ...]]:
    """Yield the aspects that differ or are not known; only the first row has the names."""
    names = (run, comparison.recipe.name)
    for aspect in comparison.aspects:
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

"""The list of recipes as tables, or as tab-separated lines if piped."""

from __future__ import annotations

from itertools import groupby

from gaudi_asr_cli.core.recipes.catalogue import RecipeInfo
from gaudi_asr_cli.core.recipes.schema import PublishedSection
from gaudi_asr_cli.core.workflows.recipes import RecipesReport
from gaudi_asr_cli.ui.console import open_result_console, print_result, result_stream
from gaudi_asr_cli.ui.numbers import clock, percent
from gaudi_asr_cli.ui.tables import Grid, show_grid

COLUMNS = ("recipe", "model", "data", "cards", "published", "time")


def show_recipes(report: RecipesReport) -> None:
    """Print the list on standard output."""
    if not result_stream().isatty():
        for one in report.recipes:
            print_result("\t".join([one.name, one.kind, *_cells(one), one.file.about]))
        return
    console = open_result_console()
    by_task = sorted(report.recipes, key=lambda one: one.kind)
    for task, recipes in groupby(by_task, key=lambda one: one.kind):
        rows = tuple((one.name, *_cells(one)) for one in recipes)
        grid = Grid(task, COLUMNS, rows, frozenset({"published", "time"}))
        show_grid(grid, console=console, whole={"recipe", "cards", "published", "time"})


def _cells(recipe: RecipeInfo) -> tuple[str, ...]:
    published = recipe.published
    return (
        recipe.model,
        recipe.data,
        published_hardware(published),
        format_published_rate(published),
        published_time(published),
    )


def published_hardware(published: PublishedSection | None) -> str:
    """Return the published hardware, such as `8 x V100`; a dash if unknown."""
    if published is None or published.hardware is None:
        return "-"
    return f"{published.cards or '?'} x {published.hardware}"


def format_published_rate(published: PublishedSection | None) -> str:
    """Return the published rate, `WER 4.2 %` or `PER 9.9 %`; a dash if unknown."""
    if published is None:
        return "-"
    if published.per is not None:
        return f"PER {percent(published.per)}"
    return "-" if published.wer is None else f"WER {percent(published.wer)}"


def published_time(published: PublishedSection | None) -> str:
    """Return the published training time; a dash if unknown."""
    if published is None or published.minutes is None:
        return "-"
    return clock(60 * published.minutes)

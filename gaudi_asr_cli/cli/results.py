"""`gaudi-asr results`: what runs achieved, beside what was published."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from gaudi_asr_cli.cli import options
from gaudi_asr_cli.core.errors import UsageError


def command(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="FOLDER", show_default=False, help="Where the runs are; runs/ without it."
        ),
    ] = None,
    markdown: Annotated[
        bool,
        typer.Option(
            "--markdown",
            rich_help_panel=options.OUTPUT,
            metavar=options.NO_VALUE,
            help="The tables as Markdown, to be pasted.",
        ),
    ] = False,
    csv: Annotated[
        bool,
        typer.Option(
            "--csv",
            rich_help_panel=options.OUTPUT,
            metavar=options.NO_VALUE,
            help="The runs as comma-separated values.",
        ),
    ] = False,
    latex: Annotated[
        bool,
        typer.Option(
            "--latex",
            rich_help_panel=options.OUTPUT,
            metavar=options.NO_VALUE,
            help="The runs as a LaTeX table.",
        ),
    ] = False,
    published: Annotated[
        bool,
        typer.Option(
            "--published",
            rich_help_panel=options.OUTPUT,
            metavar=options.NO_VALUE,
            help="All published results, not only those that a run here is compared with.",
        ),
    ] = False,
    json: options.Json = False,
) -> None:
    """Lay the runs of FOLDER beside the published results.

    Says of each what is comparable and what is not: unit, split, normaliser, settings, hardware.
    Published rows are those of the recipes; results of bench --save are shown as well.
    """
    _require_one_format({"--markdown": markdown, "--csv": csv, "--latex": latex, "--json": json})
    from gaudi_asr_cli.core.workflows.results.run import collect_results
    from gaudi_asr_cli.ui.results import show_result
    from gaudi_asr_cli.ui.results_export import print_csv, print_latex
    from gaudi_asr_cli.ui.results_table import print_markdown, show_results_table

    report = collect_results(folder)
    if csv:
        print_csv(report)
    elif latex:
        print_latex(report)
    else:
        show = print_markdown if markdown else show_results_table
        show_result(report, partial(show, published=published), json=json)


def _require_one_format(given: dict[str, bool]) -> None:
    asked = [name for name, is_given in given.items() if is_given]
    if len(asked) > 1:
        raise UsageError(
            f"{' and '.join(asked)} exclude each other.", remedy="Ask for one format at a time."
        )

"""`gaudi-asr results`: what runs achieved, beside what was published."""

from pathlib import Path
from typing import Annotated

import typer

from gaudi_asr_cli.cli import options


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
    json: options.Json = False,
) -> None:
    """Lay the runs of FOLDER beside the published results.

    Says of each what is comparable and what is not: unit, split, normaliser, settings, hardware.
    Published rows are those of the recipes; results of bench --save are shown as well.
    """
    from gaudi_asr_cli.core.workflows.results.run import collect_results
    from gaudi_asr_cli.ui.results import show_result
    from gaudi_asr_cli.ui.results_table import print_markdown, show_results_table

    report = collect_results(folder)
    show_result(report, print_markdown if markdown else show_results_table, json=json)

"""`gaudi-asr report`: a run or a comparison as one HTML page."""

from pathlib import Path
from typing import Annotated

import typer

from gaudi_asr_cli.cli import options


def command(
    source: Annotated[
        str,
        typer.Argument(
            metavar="RUN|COMPARISON",
            show_default=False,
            help="Folder of a run, or file of compare --save.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            rich_help_panel=options.OUTPUT,
            metavar="FILE",
            show_default="report.html in the run, or next to the comparison",
            help="The page to write.",
        ),
    ] = None,
    audio: Annotated[
        bool,
        typer.Option(
            "--audio/--no-audio",
            rich_help_panel=options.OUTPUT,
            metavar=options.NO_VALUE,
            help="Embed the audio of the worst utterances, where it is still there.",
        ),
    ] = True,
    json: options.Json = False,
) -> None:
    """Write a run or a comparison as one HTML page that needs no network.

    Curves, slices, most common errors, calibration of confidences, and the 50 worst utterances with
    their audio.
    """
    from gaudi_asr_cli.core.workflows.report.run import make_report
    from gaudi_asr_cli.ui.page import show_page
    from gaudi_asr_cli.ui.results import show_result

    show_result(make_report(source, out, audio=audio), show_page, json=json)

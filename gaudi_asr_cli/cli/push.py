"""`gaudi-asr push`: upload the model of a finished run to the Hugging Face hub."""

from pathlib import Path
from typing import Annotated

import typer

from gaudi_asr_cli.cli import options

Private = Annotated[
    bool,
    typer.Option(
        "--private",
        metavar=options.NO_VALUE,
        help="Create the repository as a private one.",
    ),
]
License = Annotated[
    str | None,
    typer.Option(
        "--license",
        metavar="ID",
        show_default=False,
        help="Licence on the model card, such as apache-2.0; none without it.",
    ),
]


def command(  # noqa: PLR0913 - a parameter is an option
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN", show_default=False, help="Folder of a finished training run."
        ),
    ],
    repository: Annotated[
        str,
        typer.Argument(
            metavar="ID", show_default=False, help="Model repository on the hub, OWNER/NAME."
        ),
    ],
    private: Private = False,
    license: License = None,
    language: Annotated[
        str | None,
        typer.Option(
            "--language",
            metavar="CODE",
            show_default=False,
            help="Language on the model card, as an ISO 639 code such as tr.",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            metavar=options.NO_VALUE,
            rich_help_panel=options.OUTPUT,
            help="Show the files and the model card, and send nothing.",
        ),
    ] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Upload the model of a finished run to the Hugging Face hub, with its model card.

    The token is that of HF_TOKEN or of hf auth login; it is never written or shown.
    """
    from gaudi_asr_cli.core.models.hub_repository import Repository
    from gaudi_asr_cli.core.workflows.push import PushRequest, plan_push, push
    from gaudi_asr_cli.ui.push import show_push
    from gaudi_asr_cli.ui.results import show_result

    request = PushRequest(run, Repository(repository, private), license, language)
    report = plan_push(request) if dry_run else push(request, progress=not quiet)
    show_result(report, show_push, json=json)

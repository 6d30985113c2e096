"""Options that publish the model at the end of a training run."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gaudi_asr_cli.cli import options
from gaudi_asr_cli.core.errors import AsrError, UsageError

if TYPE_CHECKING:
    from gaudi_asr_cli.core.workflows.push import PushRequest

_PUSH = typer.Option(
    "--push-to-hub",
    metavar="ID",
    rich_help_panel=options.OUTPUT,
    show_default=False,
    help="Upload the finished model to this repository of the Hub, as gaudi-asr push does.",
)
_PRIVATE = typer.Option(
    "--private",
    metavar=options.NO_VALUE,
    rich_help_panel=options.OUTPUT,
    help="With --push-to-hub: create the repository as a private one.",
)
_LICENSE = typer.Option(
    "--license",
    metavar="ID",
    rich_help_panel=options.OUTPUT,
    show_default=False,
    help="With --push-to-hub: licence on the model card, such as apache-2.0.",
)
PUBLISHING_OPTIONS: dict[str, tuple[Any, Any]] = {
    "push_to_hub": (Annotated[str | None, _PUSH], None),
    "private": (Annotated[bool, _PRIVATE], False),
    "license": (Annotated[str | None, _LICENSE], None),
}
"""Annotation and default of each option."""


def push_words(given: Mapping[str, Any]) -> list[str]:
    """Return the words by which ranks of a launch are asked to publish."""
    if given["push_to_hub"] is None:
        return []
    licence = [] if given["license"] is None else ["--license", given["license"]]
    private = ["--private"] if given["private"] else []
    return ["--push-to-hub", given["push_to_hub"], *private, *licence]


def check_publishing(given: Mapping[str, Any], *, is_rank: bool) -> None:
    """Check before training what would make the upload at its end impossible.

    Raises:
        UsageError: The options do not fit together, or the repository's id is invalid.
        UnreachableError: The hub cannot be reached, or refuses the token.
    """
    if given["push_to_hub"] is None:
        for name in ("private", "license"):
            if given[name]:
                raise UsageError(
                    f"--{name} is for a model that is uploaded.",
                    remedy="Add --push-to-hub OWNER/NAME, or leave it out.",
                )
        return
    if given["no_train"]:
        raise UsageError(
            "--no-train trains no model that could be uploaded.",
            remedy="Leave --push-to-hub out; gaudi-asr push uploads the model of an earlier run.",
        )
    from gaudi_asr_cli.core.models.hub_repository import check_repository_id
    from gaudi_asr_cli.core.workflows.push import check_push

    if given["dry_run"] or is_rank:
        check_repository_id(given["push_to_hub"])
    else:
        check_push(_request_of(given, Path()))


def publish(run: Path, given: Mapping[str, Any]) -> None:
    """Upload the model of a finished run, if the options ask for it.

    A failure is a notice with the command to upload it later: the run itself has succeeded.
    """
    if given["push_to_hub"] is None:
        return
    from gaudi_asr_cli.core.workflows.push import push
    from gaudi_asr_cli.ui.messages import show_line, show_notice

    repository = given["push_to_hub"]
    try:
        report = push(_request_of(given, run), progress=not given["quiet"])
    except AsrError as error:
        words = push_words(given)
        later = shlex.join(["gaudi-asr", "push", str(run), repository, *words[2:]])
        show_notice(
            f"The run is complete, but its model was not uploaded. {error.message}",
            f"{error.remedy} Then: {later}",
        )
        return
    if not given["quiet"]:
        show_line(f"Uploaded: {report.url}")


def _request_of(given: Mapping[str, Any], run: Path) -> PushRequest:
    from gaudi_asr_cli.core.models.hub_repository import Repository
    from gaudi_asr_cli.core.workflows.push import PushRequest

    return PushRequest(run, Repository(given["push_to_hub"], given["private"]), given["license"])

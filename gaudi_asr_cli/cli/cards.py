"""Options of distributed training, and the launch of a command's ranks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from gaudi_asr_cli.core.distributed.launchers import Launch
    from gaudi_asr_cli.core.workflows.finetune.opening import FinetuneRequest

PANEL = "Distributed"


class LauncherName(str, Enum):
    AUTO = "auto"
    TORCHRUN = "torchrun"
    MPI = "mpi"
    DEEPSPEED = "deepspeed"


def _option(name: str, metavar: str | None, help: str, **settings: Any) -> Any:
    return typer.Option(name, rich_help_panel=PANEL, metavar=metavar, help=help, **settings)


_COUNT: dict[str, Any] = {"min": 1}
_FILE: dict[str, Any] = {"show_default": False, "exists": True, "dir_okay": False}
OPTIONS: dict[str, tuple[Any, Any]] = {
    "cards": (
        Annotated[int, _option("--cards", "N", "Number of devices, one process each.", **_COUNT)],
        1,
    ),
    "nodes": (Annotated[int, _option("--nodes", "N", "Number of nodes.", **_COUNT)], 1),
    "node_rank": (
        Annotated[
            int,
            _option(
                "--node-rank",
                "N",
                "Rank of this node, from 0; run the command on each node.",
                min=0,
                show_default=False,
            ),
        ],
        0,
    ),
    "master": (
        Annotated[
            str | None,
            _option(
                "--master",
                "HOST:PORT",
                "Address of node 0, the same on every node.",
                show_default=False,
            ),
        ],
        None,
    ),
    "hostfile": (
        Annotated[
            Path | None,
            _option(
                "--hostfile", "FILE", "Nodes for mpi and deepspeed; run the command once.", **_FILE
            ),
        ],
        None,
    ),
    "launcher": (
        Annotated[LauncherName, _option("--launcher", None, "auto is torchrun.")],
        LauncherName.AUTO,
    ),
    "max_restarts": (
        Annotated[
            int,
            _option(
                "--max-restarts",
                "N",
                "Restarts from the last checkpoint after a process has died.",
                min=0,
            ),
        ],
        0,
    ),
    "deepspeed": (
        Annotated[
            Path | None,
            _option(
                "--deepspeed", "FILE", "DeepSpeed configuration; implies its launcher.", **_FILE
            ),
        ],
        None,
    ),
}
"""Annotation and default of each option."""


def launch_of(parameters: Mapping[str, Any]) -> Launch:
    """Return how many processes to start, and how."""
    from gaudi_asr_cli.core.distributed.launchers import Launch

    names = ("cards", "nodes", "node_rank", "master", "hostfile", "max_restarts", "deepspeed")
    values = {name: parameters[name] for name in names}
    return Launch(launcher=parameters["launcher"].value, **values)


def starts_ranks(launch: Launch) -> bool:
    """Return whether to start processes; a process that is itself one of several starts none."""
    from gaudi_asr_cli.core.distributed.world import read_world

    return launch.needs_launcher and read_world().size == 1


def launch_settings(parameters: Mapping[str, Any]) -> list[str]:
    """Return settings of the launch that the trainer itself needs."""
    config = parameters["deepspeed"]
    return [] if config is None else [f"trainer.deepspeed={config.resolve()}"]


def find_handover() -> Path | None:
    """Return the folder of the launch that started this process, if one did."""
    from gaudi_asr_cli.core.distributed.handover import Handover

    handover = Handover.from_environment()
    return None if handover is None else handover.root


def start_ranks(
    words: Sequence[str],
    make_request: Callable[[], FinetuneRequest],
    launch: Launch,
    parameters: Mapping[str, Any],
) -> None:
    """Start ranks that run the command, and show their progress.

    Args:
        words: The command, with those of its options that set no key of the recipe and are not
            added below.
        make_request: Makes the request, once the device is known to be present.
        launch: How many ranks, and how to start them.
        parameters: All parameters of the command.
    """
    from gaudi_asr_cli.core.devices import check_present
    from gaudi_asr_cli.core.distributed.launchers import check_launch

    device, quiet = parameters["device"], parameters["quiet"]
    check_launch(launch)
    check_present(device, launch.cards)
    # After the checks: these take seconds.
    from gaudi_asr_cli.core.workflows.finetune.launch import launch_training
    from gaudi_asr_cli.ui.console import result_stream
    from gaudi_asr_cli.ui.live import opened_view

    machine = ["--device", device, "--hpu-mode", parameters["hpu_mode"].value]
    flags = [f"--{name}" for name in ("json", "quiet") if parameters[name]]
    view = partial(opened_view, quiet=quiet)
    outputs = result_stream(), sys.stderr
    launch_training([*words, *machine, *flags], make_request(), launch, view, outputs)

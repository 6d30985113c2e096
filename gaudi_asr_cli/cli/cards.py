"""Options of training on many cards, and the way from a command to its ranks."""

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

PANEL = "Many cards"


class LauncherName(str, Enum):
    AUTO = "auto"
    TORCHRUN = "torchrun"
    MPI = "mpi"
    DEEPSPEED = "deepspeed"


Cards = Annotated[
    int,
    typer.Option(
        "--cards", rich_help_panel=PANEL, metavar="N", min=1, help="A process for each of N cards."
    ),
]
Nodes = Annotated[
    int, typer.Option("--nodes", rich_help_panel=PANEL, metavar="N", min=1, help="Machines.")
]
NodeRank = Annotated[
    int,
    typer.Option(
        "--node-rank",
        rich_help_panel=PANEL,
        metavar="N",
        min=0,
        show_default=False,
        help="Which of them this is; give the command on each.",
    ),
]
Master = Annotated[
    str | None,
    typer.Option(
        "--master",
        rich_help_panel=PANEL,
        metavar="HOST:PORT",
        show_default=False,
        help="Where all nodes reach node 0.",
    ),
]
Hostfile = Annotated[
    Path | None,
    typer.Option(
        "--hostfile",
        rich_help_panel=PANEL,
        metavar="FILE",
        show_default=False,
        exists=True,
        dir_okay=False,
        help="The nodes, for mpi and deepspeed; give the command once.",
    ),
]
Launcher = Annotated[
    LauncherName,
    typer.Option("--launcher", rich_help_panel=PANEL, help="auto is torchrun."),
]
MaxRestarts = Annotated[
    int,
    typer.Option(
        "--max-restarts",
        rich_help_panel=PANEL,
        metavar="N",
        min=0,
        help="Go on from the last checkpoint if a process dies, so often.",
    ),
]
DeepSpeed = Annotated[
    Path | None,
    typer.Option(
        "--deepspeed",
        rich_help_panel=PANEL,
        metavar="FILE",
        show_default=False,
        exists=True,
        dir_okay=False,
        help="DeepSpeed's configuration; takes its launcher.",
    ),
]


def launch_of(parameters: Mapping[str, Any]) -> Launch:
    """How many processes a command's parameters ask for, and how they are started."""
    from gaudi_asr_cli.core.distributed.launchers import Launch

    names = ("cards", "nodes", "node_rank", "master", "hostfile", "max_restarts", "deepspeed")
    values = {name: parameters[name] for name in names}
    return Launch(launcher=parameters["launcher"].value, **values)


def starts_ranks(launch: Launch) -> bool:
    """Whether to start processes for it; no process does that which is one of several itself."""
    from gaudi_asr_cli.core.distributed.world import read_world

    return launch.needs_launcher and read_world().size == 1


def settings_of(parameters: Mapping[str, Any]) -> list[str]:
    """What the trainer itself must know of the launch."""
    config = parameters["deepspeed"]
    return [] if config is None else [f"trainer.deepspeed={config.resolve()}"]


def find_handover() -> Path | None:
    """The folder that a launch has left its ranks, this one among them."""
    from gaudi_asr_cli.core.distributed.handover import Handover

    handover = Handover.from_environment()
    return None if handover is None else handover.root


def start_ranks(
    words: Sequence[str],
    make_request: Callable[[], FinetuneRequest],
    launch: Launch,
    parameters: Mapping[str, Any],
) -> None:
    """Have ranks do what the command was asked to do, and speak for it.

    Args:
        words: The command, with options that are no part of its recipe beside those below.
        make_request: Says what to train, once the device has been looked for.
        launch: How many ranks, and how they are started.
        parameters: All of the command's.
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

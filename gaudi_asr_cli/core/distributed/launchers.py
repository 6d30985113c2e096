"""Programs that start a process for each card, as argument lists."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from gaudi_asr_cli.core.errors import MachineError, UsageError

MODULE = "gaudi_asr_cli"

OURS = ("MASTER_ADDR", "MASTER_PORT", "OMP_NUM_THREADS")
"""Variables that `rank_environment` sets."""

TRAVELS = ("HABANA_", "HF_", "HL_", "LD_", "PATH", "PT_HPU_", "PYTHON")
"""Beginnings of the variables that mpirun takes along to other hosts."""


@dataclass(frozen=True, slots=True)
class Launch:
    """How many processes, where, and who starts them.

    Args:
        cards: On each node.
        nodes: Machines.
        node_rank: Which of them this is, where the command is given once on each (torchrun).
        master: `ADDRESS:PORT` of node 0, which all nodes can reach.
        hostfile: The nodes, a `NAME slots=N` each; the command is given once (mpi, deepspeed).
        launcher: One of `LAUNCHERS` or auto.
        max_restarts: How often all are started anew after one has died (torchrun).
        deepspeed: DeepSpeed's configuration, which asks for its launcher.
    """

    cards: int = 1
    nodes: int = 1
    node_rank: int = 0
    master: str | None = None
    hostfile: Path | None = None
    launcher: str = "auto"
    max_restarts: int = 0
    deepspeed: Path | None = None

    @property
    def ranks(self) -> int:
        return self.cards * self.nodes

    @property
    def wanted(self) -> bool:
        """Whether processes are to be started at all; one card alone needs none."""
        asked = self.max_restarts > 0 or self.deepspeed is not None or self.launcher != "auto"
        return self.ranks > 1 or asked

    @property
    def program(self) -> str:
        """One of `LAUNCHERS`."""
        if self.launcher != "auto":
            return self.launcher
        return "torchrun" if self.deepspeed is None else "deepspeed"


def check_launch(launch: Launch) -> None:
    """Refuse what cannot work together.

    Raises:
        UsageError: Names the options.
        MachineError: The launcher is not installed.
    """
    by_torchrun = launch.program == "torchrun"
    wrong = {
        "--max-restarts is torchrun's; mpirun and deepspeed start nothing anew.": (
            launch.max_restarts > 0 and not by_torchrun
        ),
        "--deepspeed needs deepspeed's own launcher, or torchrun.": (
            launch.deepspeed is not None and launch.program == "mpi"
        ),
        "--hostfile is for mpi and deepspeed; torchrun is started on each node.": (
            launch.hostfile is not None and by_torchrun
        ),
        "Several nodes need --master ADDRESS:PORT, the same on each, and --node-rank.": (
            launch.nodes > 1 and by_torchrun and launch.master is None
        ),
        "Several nodes need --hostfile with this launcher.": (
            launch.nodes > 1 and not by_torchrun and launch.hostfile is None
        ),
        f"--node-rank counts from 0 to {launch.nodes - 1} here.": launch.node_rank >= launch.nodes,
    }
    for message, is_wrong in wrong.items():
        if is_wrong:
            raise UsageError(message, remedy="docs/devices.md shows one command for each launcher.")
    if launch.master is not None and not launch.master.rpartition(":")[2].isdigit():
        raise UsageError(
            f"--master {launch.master} names no port.",
            remedy="For example: --master 10.0.0.1:29500",
        )
    _check_installed(launch.program)


def _check_installed(program: str) -> None:
    if program == "mpi" and shutil.which("mpirun") is None:
        raise MachineError(
            "There is no mpirun here.",
            remedy="Intel's Gaudi container has Open MPI; or leave --launcher out for torchrun.",
        )
    if program == "deepspeed" and (find_spec("deepspeed") is None or not shutil.which("deepspeed")):
        raise MachineError(
            "DeepSpeed is not installed.",
            remedy="pip install deepspeed (on Gaudi: pip install git+https://github.com/HabanaAI/"
            "DeepSpeed.git at your container's version), or leave --deepspeed out.",
        )


def command_line(launch: Launch, words: Sequence[str]) -> list[str]:
    """The argument list that starts every rank of this node with these words of our command."""
    return LAUNCHERS[launch.program](launch, words)


def rank_environment(launch: Launch, cores: int | None = None) -> dict[str, str]:
    """What the ranks' environment gets where the user has not set it.

    As many threads a rank as its share of the cores: more would wait for each other.
    """
    cores = cores or os.cpu_count() or 1
    master = launch.master or f"{_own_address(launch)}:{_free_port()}"
    address, _, port = master.rpartition(":")
    threads = str(max(1, cores // launch.cards))
    return dict(zip(OURS, (address, port, threads), strict=True))


def torchrun_line(launch: Launch, words: Sequence[str]) -> list[str]:
    """torchrun, which can start all ranks anew after one has died."""
    if launch.master is None:
        # A meeting point of its own, on a free port.
        where = ["--standalone", "--local-addr", "localhost"]
    else:
        address, _, port = launch.master.rpartition(":")
        where = [
            *("--nnodes", str(launch.nodes), "--node-rank", str(launch.node_rank)),
            *("--master-addr", address, "--master-port", port),
        ]
    return [
        *(sys.executable, "-m", "torch.distributed.run", *where),
        *("--nproc-per-node", str(launch.cards), "--max-restarts", str(launch.max_restarts)),
        # Without the dashes it would take our --run for the beginning of an option of its own.
        *("-m", "--", MODULE, *words),
    ]


def mpi_line(launch: Launch, words: Sequence[str]) -> list[str]:
    """Open MPI, each rank bound to its share of the cores, as optimum-habana's gaudi_spawn did."""
    root = ["--allow-run-as-root"] if os.geteuid() == 0 else []
    cores = max(1, (os.cpu_count() or 1) // launch.cards)
    hosts: list[str] = []
    if launch.hostfile is not None:
        named = sorted({*filter(_travels, os.environ), *OURS})
        hosts = ["--hostfile", str(launch.hostfile), *(w for one in named for w in ("-x", one))]
    return [
        *("mpirun", "-n", str(launch.ranks), *hosts),
        *("--bind-to", "core", "--map-by", f"slot:PE={cores}", *root),
        *(sys.executable, "-m", MODULE, *words),
    ]


def deepspeed_line(launch: Launch, words: Sequence[str]) -> list[str]:
    """DeepSpeed's own launcher."""
    where: list[str] = []
    if launch.hostfile is not None:
        where = ["--hostfile", str(launch.hostfile)]
    if launch.master is not None:
        address, _, port = launch.master.rpartition(":")
        where += ["--master_addr", address, "--master_port", port]
    return [
        *("deepspeed", "--num_nodes", str(launch.nodes), "--num_gpus", str(launch.cards)),
        *("--no_local_rank", *where, "--module", MODULE, *words),
    ]


LAUNCHERS: dict[str, Callable[[Launch, Sequence[str]], list[str]]] = {
    "torchrun": torchrun_line,
    "mpi": mpi_line,
    "deepspeed": deepspeed_line,
}
"""How each launcher is called."""


def _travels(name: str) -> bool:
    return name.startswith(TRAVELS)


def _own_address(launch: Launch) -> str:
    return "localhost" if launch.nodes == 1 else socket.gethostname()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
        return port

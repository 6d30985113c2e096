"""Command lines of the launchers, which start one process per device."""

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

RANK_VARIABLES = ("MASTER_ADDR", "MASTER_PORT", "OMP_NUM_THREADS")
"""Variables that `rank_environment` sets."""

FORWARDED_PREFIXES = ("HABANA_", "HF_", "HL_", "LD_", "PATH", "PT_HPU_", "PYTHON")
"""Prefixes of the environment variables that mpirun forwards to other hosts."""


@dataclass(frozen=True, slots=True)
class Launch:
    """Number of processes, nodes, and the launcher.

    Args:
        cards: Devices per node.
        nodes: Number of nodes.
        node_rank: Rank of this node, where the command is run once on each node (torchrun).
        master: `ADDRESS:PORT` of node 0, reachable from all nodes.
        hostfile: Lists the nodes, a line `NAME slots=N` each; the command is run on one node
            (mpi, deepspeed).
        launcher: One of `LAUNCHERS`, or auto.
        max_restarts: Restarts of all ranks after one has died (torchrun).
        deepspeed: DeepSpeed's configuration; selects its launcher.
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
    def needs_launcher(self) -> bool:
        """Whether ranks are started by a launcher; a single device needs none."""
        requested = self.max_restarts > 0 or self.deepspeed is not None or self.launcher != "auto"
        return self.ranks > 1 or requested

    @property
    def program(self) -> str:
        """The launcher to use, one of `LAUNCHERS`."""
        if self.launcher != "auto":
            return self.launcher
        return "torchrun" if self.deepspeed is None else "deepspeed"


def check_launch(launch: Launch) -> None:
    """Check that the options can be combined.

    Raises:
        UsageError: They cannot; the message names them.
        MachineError: The launcher is not installed.
    """
    uses_torchrun = launch.program == "torchrun"
    wrong = {
        "--max-restarts needs torchrun; mpirun and deepspeed do not restart ranks.": (
            launch.max_restarts > 0 and not uses_torchrun
        ),
        "--deepspeed needs the launcher deepspeed or torchrun.": (
            launch.deepspeed is not None and launch.program == "mpi"
        ),
        "--hostfile is for mpi and deepspeed; torchrun is run on each node.": (
            launch.hostfile is not None and uses_torchrun
        ),
        "Several nodes need --master ADDRESS:PORT, the same on each, and --node-rank.": (
            launch.nodes > 1 and uses_torchrun and launch.master is None
        ),
        "Several nodes need --hostfile with this launcher.": (
            launch.nodes > 1 and not uses_torchrun and launch.hostfile is None
        ),
        f"--node-rank must be between 0 and {launch.nodes - 1}.": launch.node_rank >= launch.nodes,
    }
    for message, is_wrong in wrong.items():
        if is_wrong:
            raise UsageError(
                message, remedy="`gaudi-asr help devices` shows a command for each launcher."
            )
    if launch.master is not None and not launch.master.rpartition(":")[2].isdigit():
        raise UsageError(
            f"--master {launch.master} has no port.",
            remedy="For example: --master 10.0.0.1:29500",
        )
    _check_installed(launch.program)


def _check_installed(program: str) -> None:
    if program == "mpi" and shutil.which("mpirun") is None:
        raise MachineError(
            "mpirun is not installed.",
            remedy="Intel's Gaudi container has Open MPI; or leave --launcher out for torchrun.",
        )
    if program == "deepspeed" and (find_spec("deepspeed") is None or not shutil.which("deepspeed")):
        raise MachineError(
            "DeepSpeed is not installed.",
            remedy="pip install deepspeed (on Gaudi: pip install git+https://github.com/HabanaAI/"
            "DeepSpeed.git at your container's version), or leave --deepspeed out.",
        )


def command_line(launch: Launch, words: Sequence[str]) -> list[str]:
    """Return the command line that starts the ranks of this node with these arguments."""
    return LAUNCHERS[launch.program](launch, words)


def rank_environment(launch: Launch, cores: int | None = None) -> dict[str, str]:
    """Return defaults for the environment of the ranks, which the user's own settings override.

    Each rank gets as many threads as its share of the cores: more would compete for them.
    """
    cores = cores or os.cpu_count() or 1
    master = launch.master or f"{_own_address(launch)}:{_free_port()}"
    address, _, port = master.rpartition(":")
    threads = str(max(1, cores // launch.cards))
    return dict(zip(RANK_VARIABLES, (address, port, threads), strict=True))


def torchrun_line(launch: Launch, words: Sequence[str]) -> list[str]:
    """Return the command line of torchrun, which can restart all ranks after one has died."""
    if launch.master is None:
        # A rendezvous of this node alone, on a free port.
        rendezvous = ["--standalone", "--local-addr", "localhost"]
    else:
        address, _, port = launch.master.rpartition(":")
        rendezvous = [
            *("--nnodes", str(launch.nodes), "--node-rank", str(launch.node_rank)),
            *("--master-addr", address, "--master-port", port),
        ]
    return [
        *(sys.executable, "-m", "torch.distributed.run", *rendezvous),
        *("--nproc-per-node", str(launch.cards), "--max-restarts", str(launch.max_restarts)),
        # Without the dashes it would read our --run as an abbreviation of one of its options.
        *("-m", "--", MODULE, *words),
    ]


def mpi_line(launch: Launch, words: Sequence[str]) -> list[str]:
    """Return the command line of Open MPI; ranks are bound to cores as by gaudi_spawn.py."""
    root = ["--allow-run-as-root"] if os.geteuid() == 0 else []
    cores = max(1, (os.cpu_count() or 1) // launch.cards)
    hosts: list[str] = []
    if launch.hostfile is not None:
        forwarded = sorted({*filter(_is_forwarded, os.environ), *RANK_VARIABLES})
        hosts = ["--hostfile", str(launch.hostfile), *(w for one in forwarded for w in ("-x", one))]
    return [
        *("mpirun", "-n", str(launch.ranks), *hosts),
        *("--bind-to", "core", "--map-by", f"slot:PE={cores}", *root),
        *(sys.executable, "-m", MODULE, *words),
    ]


def deepspeed_line(launch: Launch, words: Sequence[str]) -> list[str]:
    """Return the command line of DeepSpeed's launcher."""
    hosts: list[str] = []
    if launch.hostfile is not None:
        hosts = ["--hostfile", str(launch.hostfile)]
    if launch.master is not None:
        address, _, port = launch.master.rpartition(":")
        hosts += ["--master_addr", address, "--master_port", port]
    return [
        *("deepspeed", "--num_nodes", str(launch.nodes), "--num_gpus", str(launch.cards)),
        *("--no_local_rank", *hosts, "--module", MODULE, *words),
    ]


LAUNCHERS: dict[str, Callable[[Launch, Sequence[str]], list[str]]] = {
    "torchrun": torchrun_line,
    "mpi": mpi_line,
    "deepspeed": deepspeed_line,
}
"""Command line of each launcher."""


def _is_forwarded(name: str) -> bool:
    return name.startswith(FORWARDED_PREFIXES)


def _own_address(launch: Launch) -> str:
    return "localhost" if launch.nodes == 1 else socket.gethostname()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
        return port

"""Rank and world size of this process, from the launcher's environment variables."""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass

_NAMES = (
    # torchrun and deepspeed; then Open MPI's mpirun.
    ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
)


@dataclass(frozen=True, slots=True)
class World:
    """A process among `size`, on device `local_rank` of its node.

    `restarts` is the number of times torchrun has restarted all ranks.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    restarts: int = 0


def read_world(environment: Mapping[str, str] = os.environ) -> World:
    """Read the launcher's variables; without a launcher, the world is a single process."""
    for names in _NAMES:
        values = [environment.get(name, "") for name in names]
        if all(value.isdigit() for value in values):
            restarts = environment.get("TORCHELASTIC_RESTART_COUNT", "0")
            rank, size, local_rank = map(int, values)
            return World(rank, size, local_rank, int(restarts))
    return World()


def expand_environment(world: World, environment: MutableMapping[str, str] = os.environ) -> None:
    """Set torchrun's variables too, which accelerate and transformers read."""
    for name, value in zip(_NAMES[0], (world.rank, world.size, world.local_rank), strict=True):
        environment.setdefault(name, str(value))

"""Which of how many processes this one is, as its launcher says in the environment."""

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
    """A process among `size`, on the card `local_rank` of its node.

    `restarts` counts how often torchrun has started all of them anew.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    restarts: int = 0


def read_world(environment: Mapping[str, str] = os.environ) -> World:
    """What the launcher says; one process alone where none speaks."""
    for names in _NAMES:
        told = [environment.get(name, "") for name in names]
        if all(one.isdigit() for one in told):
            restarts = environment.get("TORCHELASTIC_RESTART_COUNT", "0")
            rank, size, local_rank = map(int, told)
            return World(rank, size, local_rank, int(restarts))
    return World()


def expand_environment(world: World, environment: MutableMapping[str, str] = os.environ) -> None:
    """Say it in torchrun's words too, which accelerate and transformers read."""
    for name, value in zip(_NAMES[0], (world.rank, world.size, world.local_rank), strict=True):
        environment.setdefault(name, str(value))

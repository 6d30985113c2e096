"""The process group of the ranks that a launcher has started."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from gaudi_asr_cli.core.devices.base import Device
from gaudi_asr_cli.core.distributed.ranks import TIMEOUT, DistributedProcess
from gaudi_asr_cli.core.distributed.world import World, expand_environment, read_world

FREEING_S = 0.3
"""Seconds in which threads of a process group may free what they hold before it is destroyed."""


@contextmanager
def join_ranks(device: Device, world: World | None = None) -> Iterator[Device]:
    """Join the process group and yield the device with its ranks; unchanged without a launcher.

    Call it before a model or a trainer is created.
    """
    world = read_world() if world is None else world
    if world.size == 1:
        yield device
        return
    collectives: Any = import_module("torch.distributed")
    # DistributedDataParallel imports it, and the defaults of its functions are the group of that
    # moment: imported later, it keeps the group and its threads until the interpreter ends, where
    # they can abort the process (findings/ddp_keeps_process_group.sh).
    import_module("torch.distributed.nn")
    expand_environment(world)
    # A prefix of our own: torchrun keeps its store across restarts, and restarted ranks would find
    # the values of those that died.
    shared, _, _ = next(collectives.rendezvous("env://", world.rank, world.size, timeout=TIMEOUT))
    store = collectives.PrefixStore(f"gaudi-asr-{world.restarts}", shared)
    collectives.init_process_group(
        device.open_collectives(),
        store=store,
        rank=world.rank,
        world_size=world.size,
        timeout=TIMEOUT,
    )
    try:
        yield device.with_ranks(DistributedProcess(world, store))
    finally:
        # A thread of gloo frees the tensors of the last collective: it holds the lock of the group
        # and needs Python's. Destroying the group holds Python's and needs that of the group: the
        # process would never end.
        time.sleep(FREEING_S)
        collectives.destroy_process_group()
        # A trainer is a cycle of references, and its model holds the group.
        gc.collect()

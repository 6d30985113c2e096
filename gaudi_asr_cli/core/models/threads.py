"""How many threads a network computes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from gaudi_asr_cli.core.devices.base import Device

SMALL_WEIGHTS = 5_000_000
"""Below this many weights a second thread gains little in the best case, and where anything else
runs on the machine, threads that wait for each other cost tenfold (docs/log.md)."""


class PlacedTask(Protocol):
    """A network on its device."""

    @property
    def network(self) -> Any: ...

    @property
    def device(self) -> Device: ...


@contextmanager
def fitting_threads(model: PlacedTask) -> Iterator[None]:
    """Have a small network compute on one CPU thread; the others read and draw."""
    import torch

    with threads(1 if is_small(model) else torch.get_num_threads()):
        yield


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Have torch compute on so many CPU threads, and afterwards on as many as before."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def is_small(model: PlacedTask) -> bool:
    """Whether a network on the CPU is too small for several threads."""
    weights = sum(parameter.numel() for parameter in model.network.parameters())
    return model.device.trains_on_cpu and weights < SMALL_WEIGHTS

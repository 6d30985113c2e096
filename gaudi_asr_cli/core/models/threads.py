"""The number of CPU threads that a network computes on."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Protocol

from gaudi_asr_cli.core.devices.base import Device
from gaudi_asr_cli.core.models.network import count_parameters

SMALL_WEIGHTS = 5_000_000
"""Below this many weights a second thread gains little at best, and on a busy machine threads that
wait for each other are ten times slower (docs/log.md)."""


class PlacedTask(Protocol):
    """A network on its device."""

    @property
    def network(self) -> Any: ...

    @property
    def device(self) -> Device: ...


class PlacedModel(Protocol):
    """A model on its device, whose network may not be loaded."""

    @property
    def parameter_count(self) -> int: ...

    @property
    def device(self) -> Device: ...


@contextmanager
def fitting_threads(model: PlacedTask) -> Iterator[None]:
    """Run a small network on one CPU thread; the others load data and draw."""
    import torch

    small = is_small_network(count_parameters(model.network), model.device)
    with threads(1 if small else torch.get_num_threads()):
        yield


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Set torch's number of CPU threads, and restore it afterwards."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def single_threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """Open a pool whose threads each run torch on one thread; the caller's setting is kept."""
    import torch

    # A part of what the other threads set (MKL's) holds for all of them.
    with threads(torch.get_num_threads()):
        pool = ThreadPoolExecutor(count, "transcribe", initializer=lambda: torch.set_num_threads(1))
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)


def is_small(model: PlacedModel) -> bool:
    """Return whether a network on the CPU is too small for several threads."""
    return is_small_network(model.parameter_count, model.device)


def is_small_network(parameters: int, device: Device) -> bool:
    """Return whether a network of so many parameters is too small for several CPU threads."""
    return device.trains_on_cpu and parameters < SMALL_WEIGHTS

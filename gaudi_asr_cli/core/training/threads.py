"""How many threads a network is trained on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gaudi_asr_cli.core.models.ctc import CtcModel

SMALL_WEIGHTS = 5_000_000
"""Below this many weights a second thread gains little in the best case, and where anything else
runs on the machine, threads that wait for each other cost tenfold (docs/log.md)."""


@contextmanager
def fitting_threads(model: CtcModel) -> Iterator[None]:
    """Train a small network on one CPU thread; the others are left to reading and drawing."""
    import torch

    before = torch.get_num_threads()
    weights = sum(parameter.numel() for parameter in model.network.parameters())
    if model.device.trains_on_cpu and weights < SMALL_WEIGHTS:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)

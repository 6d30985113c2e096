"""Accelerators: a new one is a file with `open_x() -> Device` and a line in `OPENERS`."""

from __future__ import annotations

from collections.abc import Callable

from gaudi_asr_cli.core.devices.base import Device
from gaudi_asr_cli.core.devices.cpu import open_cpu
from gaudi_asr_cli.core.devices.cuda import open_cuda
from gaudi_asr_cli.core.errors import MachineError, UsageError

OPENERS: dict[str, Callable[[], Device]] = {"cuda": open_cuda, "cpu": open_cpu}
"""How each device is opened; the order is the order in which `auto` tries them."""


def open_device(name: str = "auto") -> Device:
    """The device of that name, or for `auto` the first of `OPENERS` that opens.

    Raises:
        MachineError: This machine, or this version of gaudi-asr, lacks the device.
        UsageError: There is no device of that name.
    """
    if name == "auto":
        return _open_first()
    if name == "hpu":
        raise MachineError(
            "This version of gaudi-asr has no Gaudi (hpu) device yet.",
            remedy="Pass --device cuda or --device cpu, or leave --device out.",
        )
    if name not in OPENERS:
        raise UsageError(
            f"There is no device '{name}'.",
            remedy=f"Choose one of auto, {', '.join(OPENERS)}.",
        )
    return OPENERS[name]()


def _open_first() -> Device:
    refusals = []
    for opener in OPENERS.values():
        try:
            return opener()
        except MachineError as refusal:
            refusals.append(refusal.message)
    raise MachineError(
        f"No device opens on this machine: {' '.join(refusals)}", remedy="Pass --device cpu."
    )

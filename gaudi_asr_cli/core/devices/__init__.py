"""Devices: a new one is a file with `open_x() -> Device` and a line in `OPENERS`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from gaudi_asr_cli.core.devices.base import Device
from gaudi_asr_cli.core.devices.cpu import open_cpu
from gaudi_asr_cli.core.devices.cuda import open_cuda
from gaudi_asr_cli.core.devices.hpu import MODES, block_bridge, check_hpu, explain_hpu, open_hpu
from gaudi_asr_cli.core.errors import MachineError, UsageError

__all__ = ["MODES", "OPENERS", "Device", "check_present", "explain_hpu", "open_device"]

OPENERS: dict[str, Callable[[], Device]] = {"hpu": open_hpu, "cuda": open_cuda, "cpu": open_cpu}
"""The function that opens each device, in the order in which `auto` tries them."""


def open_device(name: str = "auto", *, hpu_mode: str = "auto") -> Device:
    """Open the device of that name, or for `auto` the first of `OPENERS` that opens.

    Call it before transformers is imported: the Gaudi software must be imported first.

    Args:
        name: `auto` or one of `OPENERS`.
        hpu_mode: Execution mode of a Gaudi, one of `MODES`; other devices have no modes.

    Raises:
        MachineError: The device or a part of its software is missing on this machine.
        UsageError: The name or the mode is unknown.
    """
    if hpu_mode not in MODES:
        raise UsageError(
            f"There is no HPU mode '{hpu_mode}'.", remedy=f"Choose one of {', '.join(MODES)}."
        )
    openers = {**OPENERS}
    if openers.get("hpu") is open_hpu:
        openers["hpu"] = partial(open_hpu, hpu_mode)
    if name == "auto":
        return _open_first(openers)
    if name not in openers:
        raise UsageError(
            f"There is no device '{name}'.",
            remedy=f"Choose one of auto, {', '.join(openers)}.",
        )
    if name != "hpu":
        block_bridge()
    return openers[name]()


def check_present(name: str, count: int) -> None:
    """Check that so many devices are present, without opening one: a Gaudi serves one process.

    Raises:
        MachineError: The Gaudi software is missing, or there are fewer devices than `count`.
    """
    if name == "hpu":
        check_hpu(count)
    # The devices are for the ranks, not for this process and the launcher.
    block_bridge()


def _open_first(openers: dict[str, Callable[[], Device]]) -> Device:
    failures = []
    for name, opener in openers.items():
        if name != "hpu":
            block_bridge()
        try:
            return opener()
        except MachineError as error:
            failures.append(error.message)
    raise MachineError(
        f"No device opens on this machine: {' '.join(failures)}", remedy="Pass --device cpu."
    )

"""Accelerators: a new one is a file with `open_x() -> Device` and a line in `OPENERS`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from gaudi_asr_cli.core.devices.base import Device
from gaudi_asr_cli.core.devices.cpu import open_cpu
from gaudi_asr_cli.core.devices.cuda import open_cuda
from gaudi_asr_cli.core.devices.hpu import MODES, check_hpu, explain_hpu, leave_alone, open_hpu
from gaudi_asr_cli.core.errors import MachineError, UsageError

__all__ = ["MODES", "OPENERS", "Device", "check_present", "explain_hpu", "open_device"]

OPENERS: dict[str, Callable[[], Device]] = {"hpu": open_hpu, "cuda": open_cuda, "cpu": open_cpu}
"""How each device is opened; the order is the order in which `auto` tries them."""


def open_device(name: str = "auto", *, hpu_mode: str = "auto") -> Device:
    """The device of that name, or for `auto` the first of `OPENERS` that opens.

    Call it before transformers is imported: a Gaudi's software must come first.

    Args:
        name: `auto` or one of `OPENERS`.
        hpu_mode: How a Gaudi runs, one of `MODES`; other devices have no modes.

    Raises:
        MachineError: This machine lacks the device, or a piece of its software.
        UsageError: There is no device of that name, or no such mode.
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
        leave_alone()
    return openers[name]()


def check_present(name: str, cards: int) -> None:
    """Refuse what will surely not open, without opening it: a card is for one process.

    Raises:
        MachineError: A Gaudi's software is missing, or there are fewer cards than asked for.
    """
    if name == "hpu":
        check_hpu(cards)
    # The cards are for the ranks, not for this process and their launcher.
    leave_alone()


def _open_first(openers: dict[str, Callable[[], Device]]) -> Device:
    refusals = []
    for name, opener in openers.items():
        if name != "hpu":
            leave_alone()
        try:
            return opener()
        except MachineError as refusal:
            refusals.append(refusal.message)
    raise MachineError(
        f"No device opens on this machine: {' '.join(refusals)}", remedy="Pass --device cpu."
    )

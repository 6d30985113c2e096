"""Devices: a new one is a file that defines a `DeviceSpec`, and a line here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gaudi_asr_cli.core.errors import MachineError
from gaudi_asr_cli.core.registry import Registry, check_name

if TYPE_CHECKING:
    from gaudi_asr_cli.core.devices.base import Device, DeviceSpec

DEVICES: Registry[DeviceSpec] = Registry(
    "device",
    {
        "hpu": "gaudi_asr_cli.core.devices.hpu:HPU",
        "cuda": "gaudi_asr_cli.core.devices.cuda:CUDA",
        "cpu": "gaudi_asr_cli.core.devices.cpu:CPU",
    },
)
"""Value of `--device` -> its record, in the order in which `auto` tries them."""

AUTO = "auto"
"""Value of `--device` that opens the first device of `DEVICES` that is present."""


def open_device(name: str = AUTO, *, hpu_mode: str = "auto") -> Device:
    """Open the device of that name, or for `auto` the first of `DEVICES` that opens.

    Call it before transformers is imported: the Gaudi software must be imported first.

    Args:
        name: `auto` or one of `DEVICES`.
        hpu_mode: Execution mode of a Gaudi, one of `MODES`; other devices have no modes.

    Raises:
        MachineError: The device or a part of its software is missing on this machine.
        UsageError: The name or the mode is unknown.
    """
    from gaudi_asr_cli.core.devices.base import MODES

    check_name("device", name, [AUTO, *DEVICES])
    check_name("HPU mode", hpu_mode, MODES)
    return _open_first(hpu_mode) if name == AUTO else _open(name, hpu_mode)


def check_present(name: str, count: int) -> None:
    """Check that so many devices are present, without opening one: a Gaudi serves one process.

    Raises:
        MachineError: The Gaudi software is missing, or there are fewer devices than `count`.
    """
    from gaudi_asr_cli.core.devices.hpu import block_bridge

    check = DEVICES[name].check_count if name in DEVICES else None
    if check is not None:
        check(count)
    # The devices are for the ranks, not for this process and the launcher.
    block_bridge()


def _open(name: str, hpu_mode: str) -> Device:
    spec = DEVICES[name]
    if spec.takes_mode:
        return spec.open(hpu_mode)
    from gaudi_asr_cli.core.devices.hpu import block_bridge

    block_bridge()
    return spec.open()


def _open_first(hpu_mode: str) -> Device:
    failures = []
    for name in DEVICES:
        try:
            return _open(name, hpu_mode)
        except MachineError as error:
            failures.append(error.message)
    raise MachineError(
        f"No device opens on this machine: {' '.join(failures)}", remedy="Pass --device cpu."
    )

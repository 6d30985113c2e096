"""The device of a command that transcribes, or several that share the work."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gaudi_asr_cli.core.devices.base import Device


def open_one_of(name: str, hpu_mode: str, cards: int) -> Device | None:
    """Open the device and configure this process for it; None with several, which workers open.

    Raises:
        MachineError: The device is missing, or there are fewer than `cards`.
    """
    # Here, not above: torch takes a second to import, and `--help` should not wait for it.
    from gaudi_asr_cli.core.devices import check_present, open_device

    if cards > 1:
        check_present(name, cards)
        return None
    from gaudi_asr_cli.core.runtime import configure

    opened = open_device(name, hpu_mode=hpu_mode)
    configure(opened)
    return opened

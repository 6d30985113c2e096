"""Settings of the whole process, which only the command line makes.

Opening a device or a model changes nothing outside of it: threads, environment and other packages
belong to the program that uses this one as a library, unless it calls `configure` itself.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from gaudi_asr_cli.core.devices.base import Device

PRECISION_VARIABLE = "ACCELERATE_MIXED_PRECISION"


@dataclass(slots=True)
class _Process:
    configured: bool = False


_PROCESS = _Process()


def configure(device: Device) -> None:
    """Configure this process for one command on `device`.

    Call it after the device is opened and before a model is. Small networks then compute on one CPU
    thread for the rest of the process.
    """
    _PROCESS.configured = True
    # transformers 4 leaves the precision of a run in the environment, where the next finds it. The
    # dtype of the run decides.
    os.environ.pop(PRECISION_VARIABLE, None)
    device.patch_libraries()


def limit_threads(count: int) -> None:
    """Let torch compute on so many CPU threads from now on, if the process is configured.

    Otherwise the threads are the choice of the program that uses this one as a library.
    """
    import torch

    if _PROCESS.configured:
        torch.set_num_threads(count)

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from helpers.tiny_models import save_tiny_model

from gaudi_asr_cli.core.devices import masks, open_device
from gaudi_asr_cli.core.devices.hpu import HpuDevice
from gaudi_asr_cli.core.runtime import configure

THREADS = """
import sys, torch
from gaudi_asr_cli.core.inference.ctc import open_full_precision
from gaudi_asr_cli.core.devices import open_device
from gaudi_asr_cli.core.runtime import configure
device = open_device("cpu")
torch.set_num_threads(3)
if sys.argv[2] == "configured":
    configure(device)
open_full_precision(sys.argv[1], device=device)
print(torch.get_num_threads())
"""


@pytest.mark.parametrize(("process", "threads"), [("configured", 1), ("library", 3)])
def test_opening_a_small_model_limits_threads_only_in_a_configured_process(
    tmp_path, process, threads
):
    folder = save_tiny_model(tmp_path / "model", "wav2vec2")

    done = subprocess.run(
        [sys.executable, "-c", THREADS, folder, process],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.stdout.split() == [str(threads)], done.stderr


def test_the_precision_of_an_earlier_run_is_removed_from_the_environment(monkeypatch):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")

    configure(open_device("cpu"))

    assert "ACCELERATE_MIXED_PRECISION" not in os.environ


def test_masks_are_patched_by_configuring_and_not_by_placing_a_network(monkeypatch):
    library = SimpleNamespace(is_tracing=lambda: False)
    monkeypatch.setitem(sys.modules, "library", library)
    monkeypatch.setattr(masks, "CHECKS", (("library", "is_tracing"),))
    monkeypatch.setattr(HpuDevice, "torch_device", torch.device("cpu"))
    device = HpuDevice("eager", "GAUDI2")

    device.place(torch.nn.Linear(1, 1))
    assert not library.is_tracing()
    configure(device)

    assert library.is_tracing()

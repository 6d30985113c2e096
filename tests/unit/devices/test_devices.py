import re
import subprocess
import sys
import time

import pytest
import torch

from gaudi_asr_cli.core import devices
from gaudi_asr_cli.core.devices import cpu as cpu_module
from gaudi_asr_cli.core.devices import open_device
from gaudi_asr_cli.core.devices.base import Device, DeviceSpec, torch_dtype
from gaudi_asr_cli.core.devices.cpu import CpuDevice, read_cpu_flags, read_cpu_name
from gaudi_asr_cli.core.devices.cuda import CudaDevice, open_cuda
from gaudi_asr_cli.core.devices.kits import NativeKit
from gaudi_asr_cli.core.errors import MachineError, UsageError

PLAIN = CpuDevice(frozenset({"avx2"}), "an old CPU")
A100 = CudaDevice((8, 0), "A100")
T4 = CudaDevice((7, 5), "T4")


def fail():
    raise MachineError("No such device.", remedy="Buy one.")


def register(monkeypatch, **openers):
    """Replace the registry by devices that open so."""
    specs = {name: DeviceSpec(opener) for name, opener in openers.items()}
    monkeypatch.setattr(devices, "DEVICES", specs)


def test_auto_opens_the_first_available_device(monkeypatch):
    register(monkeypatch, cuda=fail, cpu=lambda: PLAIN)

    assert open_device("auto") is PLAIN


def test_auto_reports_why_no_device_opens(monkeypatch):
    register(monkeypatch, cuda=fail)

    with pytest.raises(MachineError, match=r"No such device\."):
        open_device()


def test_a_named_device_is_never_replaced_by_another(monkeypatch):
    register(monkeypatch, cuda=fail, cpu=lambda: PLAIN)

    with pytest.raises(MachineError, match="No such device"):
        open_device("cuda")


def test_an_unknown_device_is_a_usage_error():
    with pytest.raises(UsageError, match="'tpu'") as error:
        open_device("tpu")
    assert "cpu" in error.value.remedy


def test_a_missing_gaudi_fails_at_once_with_a_remedy():
    started = time.perf_counter()

    with pytest.raises(MachineError, match="Gaudi") as error:
        open_device("hpu")

    assert time.perf_counter() - started < 3
    assert error.value.exit_code == 5
    assert "--device cpu" in error.value.remedy


def test_a_torch_built_without_cuda_is_an_error(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.version, "hip", None)

    with pytest.raises(MachineError, match="built without CUDA"):
        open_cuda()


def test_a_machine_without_a_gpu_is_an_error(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    with pytest.raises(MachineError, match="no CUDA GPU"):
        open_cuda()


@pytest.mark.parametrize("flag", ["avx512_bf16", "amx_bf16", "bf16"])
def test_auto_is_bf16_on_a_cpu_with_bf16_instructions(monkeypatch, flag):
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    assert CpuDevice(frozenset({flag}), "a new CPU").choose_dtype() == "bf16"


def test_bf16_is_not_chosen_where_onednn_is_told_to_emulate_it(monkeypatch):
    cpu = CpuDevice(frozenset({"avx512_bf16"}), "a new CPU")

    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert cpu.choose_dtype() == "fp32"

    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_AMX")
    assert cpu.choose_dtype() == "bf16"


@pytest.mark.parametrize(
    ("flags", "limit", "explained"),
    [
        ({"avx2", "avx512_bf16"}, None, "bf16, because .* natively .avx512_bf16.$"),
        ({"amx_bf16", "avx512_bf16"}, None, "bf16, because .* .amx_bf16, avx512_bf16.$"),
        ({"avx2"}, None, "fp32, because this processor does not multiply bf16 natively"),
        ({"avx512_bf16"}, "avx2", "fp32, because ONEDNN_MAX_CPU_ISA=avx2 excludes .* avx512_bf16"),
        ({"avx2"}, "AVX2", "fp32, because this processor does not"),
    ],
)
@pytest.mark.parametrize("integers", [True, False])
def test_the_dtype_of_auto_is_explained_as_it_is_chosen(
    monkeypatch, flags, limit, explained, integers
):
    monkeypatch.setattr(cpu_module, "read_cpu_flags", lambda: frozenset(flags))
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    if limit is not None:
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    obstacle = None if integers else "the package llvmlite is not installed"
    monkeypatch.setattr(cpu_module, "find_int16_obstacle", lambda: obstacle)
    explanation = cpu_module.explain_auto_dtype()

    assert ("; int16 for inference" in explanation) == (integers and explanation.startswith("fp32"))
    assert re.match(explained, explanation)
    assert explanation.startswith(cpu_module.open_cpu().choose_dtype("auto"))


@pytest.mark.parametrize(
    ("device", "requested", "chosen"),
    [
        (PLAIN, "auto", "fp32"),
        (PLAIN, "bf16", "bf16"),
        (A100, "auto", "bf16"),
        (A100, "fp16", "fp16"),
        (T4, "auto", "fp32"),
        (T4, "fp32", "fp32"),
    ],
)
def test_a_requested_dtype_is_used_and_auto_is_the_native_one(device, requested, chosen):
    assert device.choose_dtype(requested) == chosen


@pytest.mark.parametrize(("device", "requested"), [(PLAIN, "fp16"), (T4, "bf16")])
def test_a_dtype_that_the_hardware_lacks_is_an_error(device, requested):
    with pytest.raises(MachineError):
        device.choose_dtype(requested)


@pytest.mark.parametrize("device", [PLAIN, A100])
def test_an_unknown_dtype_is_a_usage_error(device):
    with pytest.raises(UsageError, match="fp8"):
        device.choose_dtype("fp8")


@pytest.mark.parametrize("key", ["flags", "Features"])
def test_cpu_flags_and_name_are_read_from_cpuinfo(tmp_path, key):
    path = tmp_path / "cpuinfo"
    path.write_text(f"processor\t: 0\nmodel name\t: Fast 9000\n{key}\t\t: fpu sse amx_bf16\n\n")

    assert read_cpu_flags(path) == {"fpu", "sse", "amx_bf16"}
    assert read_cpu_name(path) == "Fast 9000"


def test_without_cpuinfo_there_are_no_flags(tmp_path):
    assert read_cpu_flags(tmp_path / "missing") == frozenset()
    assert read_cpu_name(tmp_path / "missing")


def test_autocast_computes_in_the_requested_dtype():
    layer, inputs = torch.nn.Linear(4, 4), torch.ones(1, 4)

    with PLAIN.autocast("bf16"):
        in_bf16 = layer(inputs)
    with PLAIN.autocast("fp32"):
        in_fp32 = layer(inputs)

    assert in_bf16.dtype == torch_dtype("bf16")
    assert in_fp32.dtype == torch.float32


def test_the_cpu_implements_the_device_protocol():
    device: Device = open_device("cpu")

    device.synchronize()
    assert device.torch_device == torch.device("cpu")
    assert device.place(torch.nn.Linear(1, 1)).weight.device.type == "cpu"
    assert device.peak_memory_mb() > 10
    assert device.trains_on_cpu
    assert not device.recompiles_on_new_shapes


def test_importing_the_devices_imports_no_torch():
    check = "import sys, gaudi_asr_cli.core.devices; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_auto_never_imports_blocked_gaudi_software():
    check = (
        "import builtins, importlib, sys\n"
        "sys.modules['habana_frameworks'] = None\n"
        "loaded = []\n"
        "def recording(load):\n"
        "    return lambda name, *rest, **more: loaded.append(name) or load(name, *rest, **more)\n"
        "builtins.__import__ = recording(builtins.__import__)\n"
        "importlib.import_module = recording(importlib.import_module)\n"
        "from gaudi_asr_cli.core.devices import open_device\n"
        "open_device('auto')\n"
        "gaudi = any(name.startswith('habana_frameworks') for name in loaded)\n"
        "sys.exit('torch' not in loaded or gaudi)\n"
    )

    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_a_trainer_uses_one_gpu_of_several(monkeypatch, tmp_path):
    from transformers import TrainingArguments  # noqa: F401 - loading it replaces the module

    class SeesEight:
        n_gpu = 8

        def __init__(self, **values):
            self.values = values

    monkeypatch.setattr(sys.modules["transformers"], "TrainingArguments", SeesEight)

    arguments = NativeKit({"use_cpu": False}).arguments({"output_dir": str(tmp_path)}, {})

    assert arguments._n_gpu == 1
    assert arguments.values["use_cpu"] is False


def test_a_rank_without_a_gpu_of_its_own_is_an_error(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for name, value in (("RANK", "2"), ("WORLD_SIZE", "3"), ("LOCAL_RANK", "2")):
        monkeypatch.setenv(name, value)

    with pytest.raises(MachineError) as caught:
        open_cuda()

    assert "--cards 2" in caught.value.remedy

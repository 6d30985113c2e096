"""The CPU, which is always available."""

from __future__ import annotations

import os
import platform
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaudi_asr_cli.core.devices.base import DeviceSpec, check_dtype, torch_dtype
from gaudi_asr_cli.core.devices.convolutions import use_fast_convolutions
from gaudi_asr_cli.core.devices.copies import HostCopier
from gaudi_asr_cli.core.devices.int16 import find_int16_obstacle
from gaudi_asr_cli.core.devices.kits import NativeKit
from gaudi_asr_cli.core.distributed.ranks import SINGLE_PROCESS, Ranks
from gaudi_asr_cli.core.errors import MachineError

if TYPE_CHECKING:
    import torch

    from gaudi_asr_cli.core.devices.graphs import GraphCounts

CPUINFO = Path("/proc/cpuinfo")
BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""Linux flags of CPUs with bf16 instructions: AVX512-BF16, AMX, and Arm's."""
ISAS_WITHOUT_BF16 = frozenset(
    {"SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI"}
)
"""Values of oneDNN's ONEDNN_MAX_CPU_ISA under which it emulates bf16."""


@dataclass(frozen=True, slots=True)
class CpuDevice:
    """See `Device`."""

    flags: frozenset[str]
    description: str
    name: str = "cpu"
    recompiles_on_new_shapes: bool = False
    # One utterance at a time, without padding, is fastest on a CPU (performance.md, section 6).
    prefers_batching: bool = False
    is_async: bool = False
    trains_on_cpu: bool = True
    ranks: Ranks = SINGLE_PROCESS

    @property
    def torch_device(self) -> torch.device:
        import torch

        return torch.device("cpu")

    def with_ranks(self, ranks: Ranks) -> CpuDevice:
        return replace(self, ranks=ranks)

    def open_collectives(self) -> str:
        from torch.serialization import register_package

        # accelerate names the CPU of a rank cpu:0, a location that torch.load does not know.
        register_package(1, lambda storage: None, _keep_on_cpu)
        return "gloo"

    def choose_dtype(self, dtype: str = "auto") -> str:
        check_dtype(dtype)
        if dtype == "fp16":
            raise MachineError(
                "fp16 is slower than fp32 on a CPU.",
                remedy="Pass --dtype bf16 or fp32, or leave --dtype out.",
            )
        if dtype != "auto":
            return dtype
        return "bf16" if self.flags & BF16_FLAGS and not _emulates_bf16() else "fp32"

    def patch_libraries(self) -> None:
        """Do nothing: a CPU needs no patches."""

    def place(self, module: torch.nn.Module) -> torch.nn.Module:
        use_fast_convolutions(module)
        return module.to(self.torch_device)

    def autocast(self, dtype: str) -> AbstractContextManager[object]:
        import torch

        if dtype == "fp32":
            return nullcontext()
        return torch.autocast("cpu", dtype=torch_dtype(dtype))

    def inference_mode(self) -> AbstractContextManager[object]:
        import torch

        return torch.inference_mode()

    def synchronize(self) -> None:
        """Do nothing: on a CPU the work is done when the call returns."""

    def mark_step(self) -> None:
        """Do nothing: a CPU computes at once."""

    def use_graphs(self, network: torch.nn.Module, *, max_graphs: int) -> GraphCounts:
        raise MachineError(
            "A CPU has no graphs.",
            remedy="Leave --graphs out, or choose another device with --device.",
        )

    def pin(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor

    def copier(self) -> HostCopier:
        return HostCopier()

    def trainer_kit(self, *, generates: bool = False) -> NativeKit:
        return NativeKit({"use_cpu": True})

    def prepare_training(self) -> None:
        """Do nothing: transformers' models train on a CPU unpatched."""

    def prepare_generation(self, network: torch.nn.Module) -> None:
        """Do nothing: a CPU runs `generate` as it is."""

    def generation_arguments(self) -> dict[str, Any]:
        return {}

    def peak_memory_mb(self) -> float:
        import resource
        import sys

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        # Linux counts in KiB, macOS in bytes.
        return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def open_cpu() -> CpuDevice:
    """Open the CPU, with the instruction flags that it reports."""
    return CpuDevice(flags=read_cpu_flags(), description=read_cpu_name())


def read_cpu_flags(path: Path = CPUINFO) -> frozenset[str]:
    """Return the instruction flags in /proc/cpuinfo; none where there is no such file."""
    for line in _read_lines(path):
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            return frozenset(value.split())
    return frozenset()


def read_cpu_name(path: Path = CPUINFO) -> str:
    """Return the model name of the CPU, or its architecture where the name is unknown."""
    for line in _read_lines(path):
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.machine()


def describe_cpu() -> str:
    """Return how many cores may be used, the wide instructions, and whether bf16 is native."""
    flags = read_cpu_flags()
    wide = [name for name in ("avx2", "avx512f", "amx_tile", "asimd") if name in flags]
    native = sorted(flags & BF16_FLAGS)
    bf16 = f"native bf16 ({', '.join(native)})" if native else "no native bf16"
    return ", ".join([f"{_usable_cores()} of {os.cpu_count()} cores usable", *wide, bf16])


def explain_auto_dtype() -> str:
    """Return what `--dtype auto` is on this CPU, and why."""
    native = ", ".join(sorted(read_cpu_flags() & BF16_FLAGS))
    if native and not _emulates_bf16():
        return f"bf16, because this processor multiplies bf16 natively ({native})"
    if native:
        limit = os.environ["ONEDNN_MAX_CPU_ISA"]
        reason = f"ONEDNN_MAX_CPU_ISA={limit} excludes this processor's {native}"
    else:
        known = ", ".join(sorted(BF16_FLAGS))
        reason = f"this processor does not multiply bf16 natively (none of {known})"
    obstacle = find_int16_obstacle()
    if obstacle is None:
        return f"fp32, because {reason}; int16 for inference of wav2vec 2.0 and Whisper"
    return f"fp32, because {reason}; not int16 for inference, because {obstacle}"


def _emulates_bf16() -> bool:
    """Return whether an environment variable keeps oneDNN from the bf16 instructions."""
    return os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper() in ISAS_WITHOUT_BF16


def _usable_cores() -> int:
    # A container or a scheduler may allow this process fewer cores than the machine has.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _read_lines(path: Path) -> list[str]:
    if not path.exists():
        return []
    return path.read_text(encoding="utf-8", errors="replace").splitlines()


def _keep_on_cpu(storage: Any, location: str) -> Any:
    """Return the storage if its location is a CPU, else None, as `torch.load` expects."""
    return storage if location.startswith("cpu:") else None


CPU = DeviceSpec(open_cpu, describe_cpu, explain_auto_dtype)

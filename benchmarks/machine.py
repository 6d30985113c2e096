"""Description of the machine of a measurement: processor, threads and versions, in one line."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Iterable

import torch

from gaudi_asr_cli.core.devices.cpu import open_cpu

FEATURES = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
VARIABLES = (
    "OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT",
    "LIMIT_CPU", "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA",
)  # fmt: skip
"""Environment variables that change speed; LIMIT_CPU is that of `limit_cpu.py`."""
PACKAGES = ("torch", "transformers", "ctranslate2", "onnxruntime", "openvino", "nncf")


def has_native_bf16() -> bool:
    """Return whether the processor has bf16 instructions; otherwise bf16 is emulated and slow."""
    return open_cpu().choose_dtype("auto") == "bf16"


def describe_machine(packages: Iterable[str] = PACKAGES, threads: int | None = None) -> str:
    """Return the processor's name and instructions, threads, load, and versions of packages."""
    cpu = open_cpu()
    features = [name for name in FEATURES if name in cpu.flags] or ["no vector extension"]
    variables = [f"{name}={os.environ[name]}" for name in VARIABLES if name in os.environ]
    parts = [
        f"{cpu.description} ({', '.join(features)})",
        f"{threads or torch.get_num_threads()} threads of {os.cpu_count()} cores",
        *variables,
        f"load {os.getloadavg()[0]:.1f}",
        *map(_version, packages),
    ]
    return "; ".join(parts)


def _version(package: str) -> str:
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return f"{package} not installed"

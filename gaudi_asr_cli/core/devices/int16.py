"""Whether a CPU multiplies 16-bit integers faster than float32."""

from __future__ import annotations

import ctypes
import platform
from functools import cache
from importlib.util import find_spec


@cache
def can_multiply_int16() -> bool:
    """Return whether products of 16-bit integers can be compiled here: for x86-64 with AVX2."""
    import torch

    if find_spec("llvmlite") is None or platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    if torch.backends.cpu.get_cpu_capability() == "DEFAULT":
        return False
    # Their threads are those of torch: of the OpenMP that it has loaded.
    return hasattr(ctypes.CDLL(None), "GOMP_parallel")

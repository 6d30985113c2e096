"""Whether a CPU multiplies 16-bit integers faster than float32."""

from __future__ import annotations

import ctypes
import platform
from functools import cache
from importlib import import_module
from importlib.util import find_spec


def can_multiply_int16() -> bool:
    """Return whether products of 16-bit integers can be compiled here: for x86-64 with AVX2."""
    return find_int16_obstacle() is None


@cache
def find_int16_obstacle() -> str | None:
    """Return why products of 16-bit integers cannot be compiled here, a sentence without a stop."""
    import torch

    if platform.machine().lower() not in ("x86_64", "amd64"):
        return f"this processor is {platform.machine()}, not x86-64"
    if torch.backends.cpu.get_cpu_capability() == "DEFAULT":
        return "torch does not use AVX2 on this processor"
    # Their threads are those of torch: of the OpenMP that it has loaded.
    if platform.system() == "Windows" or not hasattr(ctypes.CDLL(None), "GOMP_parallel"):
        return "this build of torch has no OpenMP with GOMP_parallel"
    return _find_compiler_obstacle()


def _find_compiler_obstacle() -> str | None:
    if find_spec("llvmlite") is None:
        return "the package llvmlite is not installed"
    try:
        import_module("llvmlite.binding")
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        return f"the package llvmlite cannot be imported ({error})"
    return None

"""Attention masks on an asynchronous device."""

from __future__ import annotations

from importlib import import_module
from typing import Any

CHECKS = (
    ("transformers.masking_utils", "is_tracing"),
    ("transformers.modeling_attn_mask_utils", "is_torchdynamo_compiling"),
)
"""Functions that transformers 5 and 4.55 call before they read a mask; not read while tracing."""


def keep_all_masks() -> None:
    """Patch transformers, for the whole process, to use masks without checking for all ones.

    transformers omits a mask that is all ones: for that the host waits for the device once per
    batch, and a captured graph would omit the mask of every later batch.
    """
    for name, function in CHECKS:
        module = import_module(name)
        if hasattr(module, function):
            setattr(module, function, _return_true)


def _return_true(*_: Any, **__: Any) -> bool:
    return True

"""Attention masks on a device that runs behind its host."""

from __future__ import annotations

from importlib import import_module
from typing import Any

LOOKS = (
    ("transformers.masking_utils", "is_tracing"),
    ("transformers.modeling_attn_mask_utils", "is_torchdynamo_compiling"),
)
"""What transformers 5 and 4.55 ask before they look into a mask: not while a graph is traced."""


def use_masks_unseen() -> None:
    """Have transformers use masks without looking whether they are all ones; for good.

    It leaves such a mask out, so the host waits for the device once a batch, and a captured graph
    would leave it out of every later batch.
    """
    for name, question in LOOKS:
        module = import_module(name)
        if hasattr(module, question):
            setattr(module, question, _yes)


def _yes(*_: Any, **__: Any) -> bool:
    return True

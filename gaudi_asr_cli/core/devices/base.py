"""What the rest of the house may ask of an accelerator."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

from gaudi_asr_cli.core.errors import UsageError

if TYPE_CHECKING:
    import torch

DTYPES = ("fp32", "bf16", "fp16")


class Device(Protocol):
    """An accelerator, asked instead of named: no caller writes `if device.name == ...`."""

    @property
    def name(self) -> str:
        """What `--device` calls it."""

    @property
    def description(self) -> str:
        """What it is, for people: the card's or processor's own name."""

    @property
    def torch_device(self) -> torch.device: ...

    @property
    def recompiles_on_new_shapes(self) -> bool:
        """Whether every new tensor shape costs a compilation, so that batches need few shapes."""

    @property
    def gains_from_batches(self) -> bool:
        """Whether several utterances together run faster than one after another."""

    @property
    def trains_on_cpu(self) -> bool:
        """The value of `use_cpu` in transformers' TrainingArguments."""

    def choose_dtype(self, wish: str = "auto") -> str:
        """One of `DTYPES`: the wish, or for `auto` bf16 where the hardware multiplies it natively.

        Raises:
            UsageError: There is no such dtype.
            MachineError: The hardware cannot compute in it.
        """

    def place(self, module: torch.nn.Module) -> torch.nn.Module:
        """The module with its weights on this device."""

    def autocast(self, dtype: str) -> AbstractContextManager[object]:
        """A context in which matrix products run in `dtype`, one of `DTYPES`."""

    def synchronize(self) -> None:
        """Wait until everything asked of the device is done, so that a clock tells the truth."""

    def peak_memory_mb(self) -> float:
        """Most memory held so far, in MiB: the device's own, or the process's on a CPU."""


def torch_dtype(dtype: str) -> torch.dtype:
    """What torch calls one of `DTYPES`."""
    import torch

    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[dtype]


def check_dtype(wish: str) -> None:
    """Refuse a dtype that nobody knows.

    Raises:
        UsageError: `wish` is neither `auto` nor one of `DTYPES`.
    """
    if wish != "auto" and wish not in DTYPES:
        raise UsageError(
            f"There is no dtype '{wish}'.", remedy=f"Choose one of auto, {', '.join(DTYPES)}."
        )

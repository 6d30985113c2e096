"""What the rest of the house may ask of an accelerator."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

from gaudi_asr_cli.core.errors import UsageError

if TYPE_CHECKING:
    import torch

    from gaudi_asr_cli.core.devices.copies import Copier
    from gaudi_asr_cli.core.devices.graphs import GraphCounts
    from gaudi_asr_cli.core.devices.kits import TrainerKit
    from gaudi_asr_cli.core.distributed.ranks import Ranks

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
    def prefers_batching(self) -> bool:
        """Whether several utterances together run faster than one after another."""

    @property
    def is_async(self) -> bool:
        """Whether calls return before the work is done, so that reading a number means waiting."""

    @property
    def trains_on_cpu(self) -> bool:
        """Whether training happens on the processor itself."""

    @property
    def ranks(self) -> Ranks:
        """The processes that train together with this one, each on a card of its own."""

    def with_ranks(self, ranks: Ranks) -> Device:
        """The same device, training together with these."""

    def open_collectives(self) -> str:
        """What torch calls the way in which such devices add up their gradients, made ready."""

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

    def inference_mode(self) -> AbstractContextManager[object]:
        """A context in which no gradients are kept: the cheapest that the device supports."""

    def synchronize(self) -> None:
        """Wait until everything asked of the device is done, so that a clock tells the truth."""

    def mark_step(self) -> None:
        """Hand what was asked so far to a device that collects work (a lazy Gaudi); no waiting."""

    def use_graphs(self, network: torch.nn.Module, *, max_graphs: int) -> GraphCounts:
        """Capture the network's forward once for each new set of input shapes, replay it after.

        The network is changed in place; what it returns is never overwritten by a later call.
        From `max_graphs` captured graphs on, further shapes run without one. A captured graph
        freezes the branches that its first inputs took: capture each shape with a mask that is
        not all ones (`warm_up` of `graphs` does), and pad what is heard by a frame more than
        the longest, so that no mask is.

        Returns:
            Counts that go on counting; the same ones where the network has its graphs already.

        Raises:
            MachineError: The device has no graphs, or not in this mode.
        """

    def pin(self, tensor: torch.Tensor) -> torch.Tensor:
        """A tensor on the host in memory that the device reaches by itself; any thread may ask."""

    def copier(self) -> Copier:
        """Brings tensors to the host while the device goes on; for the thread that asks for it."""

    def count_compilations(self) -> int | None:
        """How many programs the device has compiled so far; None where it does not tell."""

    def trainer_kit(self, *, writes: bool = False) -> TrainerKit:
        """The Trainer class for this device, with the arguments that it needs.

        Args:
            writes: Whether what is trained generates text (sequence to sequence).

        Raises:
            MachineError: A package that this way of training needs cannot be imported.
        """

    def prepare_training(self) -> None:
        """Put this device's own models in place, for training; before the first one is made."""

    def generation_arguments(self) -> dict[str, Any]:
        """What transformers' `generate` is told here beside the model's own settings."""

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

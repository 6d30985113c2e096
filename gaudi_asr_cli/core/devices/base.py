"""The interface of all devices."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from gaudi_asr_cli.core.errors import UsageError

if TYPE_CHECKING:
    import torch

    from gaudi_asr_cli.core.devices.copies import Copier
    from gaudi_asr_cli.core.devices.graphs import GraphCounts
    from gaudi_asr_cli.core.devices.kits import TrainerKit
    from gaudi_asr_cli.core.distributed.ranks import Ranks

MODES = ("auto", "lazy", "eager", "compile")
"""Execution modes of a Gaudi."""

DTYPES = ("fp32", "bf16", "fp16")
INT16 = "int16"
"""Weights in fp32, multiplied as 16-bit integers on a CPU: for inference only."""
INFERENCE_DTYPES = (*DTYPES, INT16)


class Device(Protocol):
    """A CPU or accelerator. Callers use its properties and never test `device.name`."""

    @property
    def name(self) -> str:
        """Value of `--device` that selects it."""

    @property
    def description(self) -> str:
        """Product name of the accelerator or processor, for display."""

    @property
    def torch_device(self) -> torch.device: ...

    @property
    def recompiles_on_new_shapes(self) -> bool:
        """Whether every new tensor shape is compiled, so that batches should have few shapes."""

    @property
    def prefers_batching(self) -> bool:
        """Whether a batch of utterances runs faster than the utterances one by one."""

    @property
    def is_async(self) -> bool:
        """Whether calls return before the work is done, so that reading a value synchronises."""

    @property
    def trains_on_cpu(self) -> bool:
        """Whether training runs on the CPU."""

    @property
    def ranks(self) -> Ranks:
        """The processes that train together, each on its own device."""

    def with_ranks(self, ranks: Ranks) -> Device:
        """Return the same device with these ranks."""

    def open_collectives(self) -> str:
        """Prepare the collectives of this device and return the name of their torch backend."""

    def choose_dtype(self, dtype: str = "auto") -> str:
        """Return the requested dtype, or for `auto` bf16 where the hardware supports it natively.

        Raises:
            UsageError: The dtype is unknown.
            MachineError: The hardware does not support it.
        """

    def patch_libraries(self) -> None:
        """Patch other packages for this device and the whole process: see `core.runtime`."""

    def place(self, module: torch.nn.Module) -> torch.nn.Module:
        """Move the module's weights to this device and return it."""

    def autocast(self, dtype: str) -> AbstractContextManager[object]:
        """Return a context in which matrix products run in `dtype`, one of `DTYPES`."""

    def inference_mode(self) -> AbstractContextManager[object]:
        """Return the cheapest context without gradients that the device supports."""

    def synchronize(self) -> None:
        """Wait until all queued work is done, so that times can be measured."""

    def mark_step(self) -> None:
        """Submit the work collected so far on a lazy Gaudi, without waiting for it."""

    def use_graphs(self, network: torch.nn.Module, *, max_graphs: int) -> GraphCounts:
        """Capture the network's forward once for each new set of input shapes and replay it.

        The network is changed in place; its outputs are never overwritten by a later call. Beyond
        `max_graphs` captured graphs, new shapes run without a graph. A captured graph freezes the
        branches that its first inputs took: capture each shape with a mask that is not all ones
        (`graphs.warm_up` does), and pad batches by one frame more than the longest utterance, so
        that no mask is all ones.

        Returns:
            Counts that are updated by every call; the existing ones where the network has graphs.

        Raises:
            MachineError: The device has no graphs, or not in this mode.
        """

    def pin(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return a host tensor in pinned memory; callable from any thread."""

    def copier(self) -> Copier:
        """Return a copier of tensors to the host, asynchronous, for the calling thread only."""

    def trainer_kit(self, *, generates: bool = False) -> TrainerKit:
        """Return the Trainer class for this device, with the arguments that it needs.

        Args:
            generates: Whether the model generates text (sequence to sequence).

        Raises:
            MachineError: A package that the trainer needs cannot be imported.
        """

    def prepare_training(self) -> None:
        """Patch models for training on this device, before the first model is created."""

    def prepare_generation(self, network: torch.nn.Module) -> None:
        """Compile encoder and decoder step of an open encoder-decoder, where this mode compiles."""

    def generation_arguments(self) -> dict[str, Any]:
        """Return arguments of transformers' `generate` that this device adds to the model's own."""

    def peak_memory_mb(self) -> float:
        """Return the peak memory in MiB: of the device, or of the process on a CPU."""


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    """A kind of device of the registry.

    Args:
        open: Opens the device, or raises `MachineError` if it or its software is missing. It must
            not be in use by this process already. Called with the mode if `takes_mode`.
        describe: Returns a line for `doctor` on the hardware, whether or not it opens.
        explain_dtype: Returns a line for `doctor`: what `--dtype auto` is here, and why.
        takes_mode: It has execution modes, of which `open` is given one of `MODES`.
        check_count: Raises `MachineError` if fewer devices are present, without opening one.
    """

    open: Callable[..., Device]
    describe: Callable[[], str] | None = None
    explain_dtype: Callable[[], str] | None = None
    takes_mode: bool = False
    check_count: Callable[[int], None] | None = None


def torch_dtype(dtype: str) -> torch.dtype:
    """Return the torch dtype of one of `DTYPES`."""
    import torch

    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[dtype]


def check_dtype(dtype: str) -> None:
    """Reject an unknown dtype.

    Raises:
        UsageError: `dtype` is neither `auto` nor one of `DTYPES`.
    """
    if dtype != "auto" and dtype not in DTYPES:
        raise UsageError(
            f"There is no dtype '{dtype}'.", remedy=f"Choose one of auto, {', '.join(DTYPES)}."
        )

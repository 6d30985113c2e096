"""NVIDIA (or ROCm) GPUs."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from gaudi_asr_cli.core.devices.base import DeviceSpec, check_dtype, torch_dtype
from gaudi_asr_cli.core.devices.copies import StreamCopier
from gaudi_asr_cli.core.devices.cuda_graphs import CudaGraphs
from gaudi_asr_cli.core.devices.graphs import GraphCounts, graph_counts
from gaudi_asr_cli.core.devices.kits import NativeKit
from gaudi_asr_cli.core.distributed.ranks import SINGLE_PROCESS, Ranks
from gaudi_asr_cli.core.distributed.world import read_world
from gaudi_asr_cli.core.errors import MachineError

if TYPE_CHECKING:
    import torch

NATIVE_BF16 = (8, 0)
"""Minimum compute capability whose tensor cores support bf16 (Ampere)."""


@dataclass(frozen=True, slots=True)
class CudaDevice:
    """See `Device`. `capability` is the compute capability, (8, 0) for an A100.

    `index` is the number of the GPU: new threads would use the first one by default.
    """

    capability: tuple[int, int]
    description: str
    index: int = 0
    name: str = "cuda"
    recompiles_on_new_shapes: bool = False
    prefers_batching: bool = True
    is_async: bool = True
    trains_on_cpu: bool = False
    ranks: Ranks = SINGLE_PROCESS

    @property
    def torch_device(self) -> torch.device:
        import torch

        return torch.device("cuda", self.index)

    def with_ranks(self, ranks: Ranks) -> CudaDevice:
        return replace(self, ranks=ranks)

    def open_collectives(self) -> str:
        return "nccl"

    def choose_dtype(self, dtype: str = "auto") -> str:
        check_dtype(dtype)
        native = self.capability >= NATIVE_BF16
        if dtype == "bf16" and not native:
            raise MachineError(
                f"{self.description} has no native bf16.",
                remedy="Pass --dtype fp16 or fp32, or leave --dtype out.",
            )
        if dtype != "auto":
            return dtype
        return "bf16" if native else "fp32"

    def patch_libraries(self) -> None:
        """Do nothing: CUDA needs no patches."""

    def place(self, module: torch.nn.Module) -> torch.nn.Module:
        return module.to(self.torch_device)

    def autocast(self, dtype: str) -> AbstractContextManager[object]:
        import torch

        if dtype == "fp32":
            return nullcontext()
        return torch.autocast("cuda", dtype=torch_dtype(dtype))

    def inference_mode(self) -> AbstractContextManager[object]:
        import torch

        return torch.inference_mode()

    def synchronize(self) -> None:
        import torch

        torch.cuda.synchronize(self.index)

    def mark_step(self) -> None:
        """Do nothing: CUDA queues each call at once."""

    def use_graphs(self, network: torch.nn.Module, *, max_graphs: int) -> GraphCounts:
        known = graph_counts(network)
        if known is not None:
            return known
        # nn.Module declares `forward` in a way that forbids assigning it.
        graphed: Any = network
        graphs = CudaGraphs(network.forward, max_graphs)
        graphed.forward = graphs
        return graphs.counts

    def pin(self, tensor: torch.Tensor) -> torch.Tensor:
        import torch

        # A new thread would allocate on the first GPU.
        with torch.cuda.device(self.index):
            return tensor.pin_memory()

    def copier(self) -> StreamCopier:
        import torch

        # Streams belong to the current GPU of the thread that creates them.
        torch.cuda.set_device(self.index)
        return StreamCopier(torch.cuda, self.pin, self.mark_step)

    def trainer_kit(self, *, generates: bool = False) -> NativeKit:
        return NativeKit({"use_cpu": False})

    def prepare_training(self) -> None:
        """Do nothing: transformers' models train on CUDA unpatched."""

    def prepare_generation(self, network: torch.nn.Module) -> None:
        """Do nothing: CUDA runs `generate` as it is."""

    def generation_arguments(self) -> dict[str, Any]:
        return {}

    def peak_memory_mb(self) -> float:
        import torch

        return torch.cuda.max_memory_allocated(self.index) / 2**20


def open_cuda() -> CudaDevice:
    """Open the first CUDA GPU, or the one of this process's rank.

    Raises:
        MachineError: torch was built without CUDA, or sees no GPU, or fewer than there are ranks.
    """
    import torch

    if torch.version.cuda is None and torch.version.hip is None:
        raise MachineError(
            f"This torch ({torch.__version__}) was built without CUDA.",
            remedy="Install a CUDA build of torch (https://pytorch.org), or pass --device cpu.",
        )
    if not torch.cuda.is_available():
        raise MachineError(
            "torch sees no CUDA GPU on this machine.",
            remedy="See what nvidia-smi says, or pass --device cpu.",
        )
    index, present = read_world().local_rank, torch.cuda.device_count()
    if index >= present:
        raise MachineError(
            f"There is no GPU for local rank {index}: torch sees {present}.",
            remedy=f"Pass --cards {present}.",
        )
    torch.cuda.set_device(index)
    return CudaDevice(
        capability=torch.cuda.get_device_capability(index),
        description=torch.cuda.get_device_name(index),
        index=index,
    )


CUDA = DeviceSpec(open_cuda)

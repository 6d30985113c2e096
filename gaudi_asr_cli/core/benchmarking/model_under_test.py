"""The model of a benchmark: opened, or made of random weights in a known shape."""

from __future__ import annotations

import time
from dataclasses import dataclass

from gaudi_asr_cli.core.benchmarking.shapes import SHAPES, open_random_model
from gaudi_asr_cli.core.devices.base import Device
from gaudi_asr_cli.core.devices.graphs import GraphCounts
from gaudi_asr_cli.core.inference.batched import BatchedModel
from gaudi_asr_cli.core.inference.ctc import (
    InferenceOptions,
    OpenCtcModel,
    accelerate,
    open_full_precision,
)
from gaudi_asr_cli.core.models.cpu.ctc import PackedCtcModel
from gaudi_asr_cli.core.models.ctc.model import CtcModel


@dataclass(frozen=True, slots=True)
class WorkloadSource:
    """Where a model comes from: `name`, or for None random weights in `shape` from `seed`."""

    name: str | None
    shape: str
    seed: int
    language: str | None = None

    @property
    def title(self) -> str:
        return self.name if self.name is not None else f"{self.shape} shape, random weights"

    def open(self, device: Device, dtype: str) -> CtcModel:
        """The transformers model on the device, its weights still fp32.

        Raises:
            DataError: It is none that hears.
            MachineError: The device cannot compute in that dtype.
            UnreachableError: A hub id that is neither cached nor reachable.
        """
        if self.name is None:
            shape = SHAPES[self.shape]
            return open_random_model(shape, device=device, dtype=dtype, seed=self.seed)
        return open_full_precision(self.name, device=device, dtype=dtype, language=self.language)


@dataclass(frozen=True, slots=True)
class ModelUnderTest:
    """What listens, and how long opening it took."""

    source: WorkloadSource
    listener: OpenCtcModel
    load_s: float

    @property
    def engine(self) -> str:
        """Which code computes: `packed`, `batched`, or `transformers`' own one by one."""
        if isinstance(self.listener, PackedCtcModel):
            return "packed int8" if self.listener.int8 else "packed"
        return "batched" if isinstance(self.listener, BatchedModel) else "transformers"

    @property
    def graphs(self) -> GraphCounts | None:
        """Counts of the graphs, where there are any."""
        return self.listener.graphs if isinstance(self.listener, BatchedModel) else None


def open_model_under_test(
    source: WorkloadSource, device: Device, dtype: str, choices: InferenceOptions
) -> ModelUnderTest:
    """Open the model in its fastest form; raises what `WorkloadSource.open` raises."""
    started = time.perf_counter()
    listener = accelerate(source.open(device, dtype), choices)
    return ModelUnderTest(source, listener, time.perf_counter() - started)

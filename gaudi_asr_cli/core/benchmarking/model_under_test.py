"""The model under test: opened by name, or built with random weights in a known shape."""

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
class ModelSource:
    """The source of a model: `name`, or if None random weights in `shape` from `seed`."""

    name: str | None
    shape: str
    seed: int
    language: str | None = None

    @property
    def title(self) -> str:
        return self.name if self.name is not None else f"{self.shape} shape, random weights"

    def open(self, device: Device, dtype: str) -> CtcModel:
        """Open the transformers model on the device, with its weights still in fp32.

        Raises:
            DataError: It is not a CTC model.
            MachineError: The device does not support the dtype.
            UnreachableError: The hub id is neither cached nor reachable.
        """
        if self.name is None:
            shape = SHAPES[self.shape]
            return open_random_model(shape, device=device, dtype=dtype, seed=self.seed)
        return open_full_precision(self.name, device=device, dtype=dtype, language=self.language)


@dataclass(frozen=True, slots=True)
class ModelUnderTest:
    """A model opened for inference, and the seconds that opening took."""

    source: ModelSource
    model: OpenCtcModel
    load_s: float

    @property
    def engine(self) -> str:
        """Return the engine: `packed`, `batched`, or `transformers` at batch size 1."""
        if isinstance(self.model, PackedCtcModel):
            return "packed int8" if self.model.int8 else "packed"
        return "batched" if isinstance(self.model, BatchedModel) else "transformers"

    @property
    def graphs(self) -> GraphCounts | None:
        """Return the counts of captured graphs, if graphs are used."""
        return self.model.graphs if isinstance(self.model, BatchedModel) else None


def open_model_under_test(
    source: ModelSource, device: Device, dtype: str, options: InferenceOptions
) -> ModelUnderTest:
    """Open the model in its fastest form; raises the errors of `ModelSource.open`."""
    started = time.perf_counter()
    model = accelerate(source.open(device, dtype), options)
    return ModelUnderTest(source, model, time.perf_counter() - started)

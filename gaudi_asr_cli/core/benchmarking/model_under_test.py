"""The model under test: opened by name, or built with random weights in a known shape."""

from __future__ import annotations

import time
from dataclasses import dataclass

from gaudi_asr_cli.core.benchmarking.shapes import SHAPES, open_random_model
from gaudi_asr_cli.core.devices.base import Device
from gaudi_asr_cli.core.inference.options import InferenceOptions
from gaudi_asr_cli.core.inference.recognizer import Recognizer, open_recognizer


@dataclass(frozen=True, slots=True)
class ModelSource:
    """The source of a model: `name`, or if None random weights in `shape` from `seed`."""

    name: str | None
    shape: str
    seed: int

    @property
    def title(self) -> str:
        return self.name if self.name is not None else f"{self.shape} shape, random weights"

    def open(self, device: Device, options: InferenceOptions) -> Recognizer:
        """Open the model; raises the errors of `open_recognizer`."""
        if self.name is not None:
            return open_recognizer(self.name, device, options)
        return open_random_model(SHAPES[self.shape], device, options, seed=self.seed)

    def open_baseline(self, device: Device, options: InferenceOptions) -> Recognizer:
        """Open the same weights in fp32, with transformers' own code."""
        plain = InferenceOptions(
            mode="transformers", dtype="fp32", language=options.language, timestamps="none"
        )
        return self.open(device, plain)


@dataclass(frozen=True, slots=True)
class ModelUnderTest:
    """A model opened for inference, and the seconds that opening took."""

    source: ModelSource
    recognizer: Recognizer
    load_s: float


def open_model_under_test(
    source: ModelSource, device: Device, options: InferenceOptions
) -> ModelUnderTest:
    """Open the model in its fastest form; raises the errors of `open_recognizer`."""
    started = time.perf_counter()
    recognizer = source.open(device, options)
    return ModelUnderTest(source, recognizer, time.perf_counter() - started)

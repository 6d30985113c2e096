"""Timing of feature extraction, separate from the network."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from gaudi_asr_cli.core.inference.timing import PhaseClock
from gaudi_asr_cli.core.records import AudioBatch

if TYPE_CHECKING:
    import torch

ModelT = TypeVar("ModelT")


@dataclass(frozen=True, slots=True)
class TimedFrontend:
    """A `Frontend` whose `prepare` is counted as the phase `features`."""

    inner: Any
    clock: PhaseClock

    def prepare(self, batch: AudioBatch) -> dict[str, torch.Tensor]:
        with self.clock.time("features"):
            prepared: dict[str, torch.Tensor] = self.inner.prepare(batch)
        return prepared

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def time_features(model: ModelT, clock: PhaseClock) -> ModelT:
    """Return a copy of the model whose feature extraction is timed by `clock`.

    A model without a frontend is returned unchanged.
    """
    frontend = getattr(model, "frontend", None)
    if frontend is None:
        return model
    timed: ModelT = replace(model, frontend=TimedFrontend(frontend, clock))  # type: ignore[type-var]
    return timed

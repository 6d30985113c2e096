"""A model whose features are timed apart from its network."""

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
    """A `Frontend` whose `prepare` counts as the phase `features`."""

    inner: Any
    clock: PhaseClock

    def prepare(self, batch: AudioBatch) -> dict[str, torch.Tensor]:
        with self.clock.time("features"):
            prepared: dict[str, torch.Tensor] = self.inner.prepare(batch)
        return prepared

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def time_features(model: ModelT, clock: PhaseClock) -> ModelT:
    """The model, which tells `clock` how long it normalises; any other thing as it is."""
    frontend = getattr(model, "frontend", None)
    if frontend is None:
        return model
    timed: ModelT = replace(model, frontend=TimedFrontend(frontend, clock))  # type: ignore[type-var]
    return timed

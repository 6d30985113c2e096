"""Which Trainer class trains on a device, and what it is told beside the run's own settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


class TrainerKit(Protocol):
    """A way of training. Values are those of TrainingArguments; `extra` is the user's own part."""

    @property
    def marks_steps(self) -> bool:
        """Whether the trainer hands collected work to the device by itself."""

    def fields(self) -> frozenset[str]:
        """Names that `extra` may hold."""

    def check(self, network: Any, extra: Mapping[str, Any]) -> None:
        """Refuse what would train this network wrongly.

        Raises:
            RecipeError: Names the setting and the reason.
        """

    def arguments(self, values: Mapping[str, Any], extra: Mapping[str, Any]) -> Any:
        """The trainer's arguments; `extra` wins over `values`."""

    def trainer_class(self) -> type: ...

    def trainer_keywords(self, extra: Mapping[str, Any], arguments: Any) -> dict[str, Any]:
        """What the trainer takes beside model, arguments, data and callbacks."""

    def divides_loss(self, arguments: Any) -> bool:
        """Whether the trainer divides the loss by the batches that are accumulated."""


@dataclass(frozen=True, slots=True)
class NativeKit:
    """See `TrainerKit`: transformers' own Trainer; `values` are what the device decides."""

    values: Mapping[str, Any] = field(default_factory=dict)
    marks_steps: bool = True

    def fields(self) -> frozenset[str]:
        from transformers import TrainingArguments

        return frozenset(one.name for one in dataclasses.fields(TrainingArguments))

    def check(self, network: Any, extra: Mapping[str, Any]) -> None:
        """Nothing: every network is trained as transformers trains it."""

    def arguments(self, values: Mapping[str, Any], extra: Mapping[str, Any]) -> Any:
        from transformers import TrainingArguments

        arguments = TrainingArguments(**{**values, **self.values, **extra})
        # A process has one card. With more in sight transformers would cut each batch into pieces
        # for all of them (DataParallel), which our batches are not made for.
        arguments._n_gpu = min(arguments.n_gpu, 1)
        return arguments

    def trainer_class(self) -> type:
        from transformers import Trainer

        kind: type = Trainer
        return kind

    def trainer_keywords(self, extra: Mapping[str, Any], arguments: Any) -> dict[str, Any]:
        return {}

    def divides_loss(self, arguments: Any) -> bool:
        return True

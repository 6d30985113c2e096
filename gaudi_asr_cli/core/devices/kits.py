"""The Trainer class of a device, and the arguments that the device adds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


class TrainerKit(Protocol):
    """A Trainer and its arguments; `values` are ours, `extra` is the recipe's `trainer` section."""

    @property
    def marks_steps(self) -> bool:
        """Whether the trainer marks steps on a lazy device by itself."""

    def fields(self) -> frozenset[str]:
        """Return the names that `extra` may contain."""

    def check(self, network: Any, extra: Mapping[str, Any]) -> None:
        """Reject settings that would train this network wrongly.

        Raises:
            RecipeError: The message names the setting and the reason.
        """

    def arguments(self, values: Mapping[str, Any], extra: Mapping[str, Any]) -> Any:
        """Return the trainer's arguments; `extra` overrides `values`."""

    def trainer_class(self) -> type: ...

    def trainer_keywords(self, extra: Mapping[str, Any], arguments: Any) -> dict[str, Any]:
        """Return keyword arguments of the trainer other than model, args, data and callbacks."""

    def divides_loss(self, arguments: Any) -> bool:
        """Return whether the trainer divides the loss by the gradient accumulation steps."""


@dataclass(frozen=True, slots=True)
class NativeKit:
    """See `TrainerKit`: transformers' own Trainer, with the arguments set by the device."""

    values: Mapping[str, Any] = field(default_factory=dict)
    marks_steps: bool = True

    def fields(self) -> frozenset[str]:
        from transformers import TrainingArguments

        return frozenset(one.name for one in dataclasses.fields(TrainingArguments))

    def check(self, network: Any, extra: Mapping[str, Any]) -> None:
        """Accept every network."""

    def arguments(self, values: Mapping[str, Any], extra: Mapping[str, Any]) -> Any:
        from transformers import TrainingArguments

        arguments = TrainingArguments(**{**values, **self.values, **extra})
        # One device per process. With several visible, transformers would split each batch over
        # all of them (DataParallel), for which our batches are not planned.
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

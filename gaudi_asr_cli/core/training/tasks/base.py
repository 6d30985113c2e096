"""What training asks of the kind of model that it trains: CTC, or sequence to sequence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from gaudi_asr_cli.core.devices.base import Device
from gaudi_asr_cli.core.events import Observer
from gaudi_asr_cli.core.inference.scoring import ScoringResult
from gaudi_asr_cli.core.records import AudioBatch, PlannedBatch, Utterance

if TYPE_CHECKING:
    import torch

Labels = tuple[int, ...]

IGNORED_LABEL = -100
"""What transformers takes for padding among labels."""

BATCH_METADATA = frozenset({"planned", "together", "share"})
"""Entries of a batch that are not the network's: what this rank was to hear, what all ranks hear in
the step, and `share`, by which the loss has to be multiplied so that rows that teach nothing do not
count and the ranks' mean is the loss of all."""


class Task(Protocol):
    """A model with weights to train, and what learning means to it."""

    @property
    def kind(self) -> str:
        """The command that trains it, and resumes it."""

    @property
    def writes(self) -> bool:
        """Whether it generates text, as opposed to naming each frame."""

    @property
    def name(self) -> str:
        """What the user called the model."""

    @property
    def network(self) -> Any: ...

    @property
    def device(self) -> Device: ...

    @property
    def dtype(self) -> str:
        """What it computes in; the weights are fp32."""

    @property
    def vocabulary_size(self) -> int: ...

    @property
    def vocabulary_hash(self) -> str:
        """The same for the same tokens with the same numbers."""

    @property
    def margin_s(self) -> float:
        """Static shapes are longer than their longest sound by so much."""

    @property
    def window_s(self) -> float | None:
        """What every sound is padded to, whatever its length; None where it may have any."""

    def mark(self) -> Mapping[str, Any]:
        """What a checkpoint keeps beside the weights, as JSON."""

    def label(self, text: str) -> Labels:
        """The token ids of a cleaned text; empty where there is nothing to learn."""

    def rejection_reason(self, duration_s: float, labels: Labels) -> tuple[str, str] | None:
        """Why the model cannot learn these labels from that much sound: the cause, a detail."""

    def shortest_samples(self, labels: Labels) -> int:
        """What a sound that is played faster must still have."""

    def with_static_shapes(self) -> Task:
        """The same task, with a network that does not hear the padding of its bucket."""

    def inputs(
        self, batch: AudioBatch, labels: Sequence[Labels], *, width: int, rows: int | None
    ) -> dict[str, torch.Tensor]:
        """The network's keyword arguments, labels (B, L) of that width among them.

        With `rows` the batch has the bucket's one shape: it is filled up with rows that teach
        nothing, where the task has such rows.
        """

    def loss_scale(self, own: Sequence[Labels], together: Sequence[Labels]) -> float:
        """What the loss of some rows has to be multiplied by to be added up to the loss of all."""

    def step_metrics(
        self, planned: PlannedBatch, inputs: Mapping[str, torch.Tensor], logits: torch.Tensor
    ) -> Any:
        """What is kept of a step to be summed up at the next log; nothing waits for the device."""

    def aggregate(
        self, step_metrics: Sequence[Any], durations_s: Sequence[float]
    ) -> dict[str, float]:
        """Entries of a trainer log; durations are those of the whole training set."""

    def hear(
        self,
        utterances: Sequence[Utterance],
        normalize: Callable[[str], str],
        *,
        stage: str,
        observe: Observer,
    ) -> ScoringResult:
        """Score what the network, as it stands, hears in each utterance."""

    def save(self, directory: Path) -> None:
        """Write files that transformers 4.55 and 5 open."""


def scalar(value: float) -> torch.Tensor:
    """A number as a tensor: a device that compiles would take a plain one for part of a program."""
    import torch

    return torch.tensor(value, dtype=torch.float32)


def padded_labels(labels: Sequence[Labels], width: int) -> torch.Tensor:
    """Labels as an int64 tensor (B, L) of that width, padded with what the loss ignores."""
    import torch

    padded = torch.full((len(labels), width), IGNORED_LABEL, dtype=torch.int64)
    for row, tokens in enumerate(labels):
        padded[row, : len(tokens)] = torch.tensor(tokens, dtype=torch.int64)
    return padded


def fill_rows(batch: AudioBatch, rows: int) -> AudioBatch:
    """The batch with silent rows of no length behind it, up to so many."""
    import numpy as np

    missing = rows - len(batch.utterances)
    return AudioBatch(
        utterances=(*batch.utterances, *batch.utterances[:1] * missing),
        samples=np.pad(batch.samples, ((0, missing), (0, 0))),
        lengths=np.pad(batch.lengths, (0, missing)),
    )

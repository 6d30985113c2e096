"""The interface between training and the kind of model it trains: CTC or seq2seq."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from gaudi_asr_cli.core.devices.base import Device
from gaudi_asr_cli.core.inference.recognizer import Recognizer
from gaudi_asr_cli.core.models.seq2seq.labels import IGNORED_LABEL
from gaudi_asr_cli.core.records import AudioBatch, PlannedBatch, Utterance
from gaudi_asr_cli.core.training.loss_meter import LossMeter

if TYPE_CHECKING:
    import torch

Labels = tuple[int, ...]

BATCH_METADATA = frozenset({"planned", "global_batch", "loss_scale"})
"""Entries of a batch that are not inputs of the network: the part planned for this rank, the batch
of all ranks, and the factor of the loss, by which dummy rows do not count and the mean over the
ranks is the loss of the global batch."""


class Task(Protocol):
    """A model with weights to train, its labels, loss scaling and metrics."""

    @property
    def kind(self) -> str:
        """Name of the command that trains and resumes it."""

    @property
    def generates(self) -> bool:
        """Whether the model generates text (seq2seq) instead of classifying each frame (CTC)."""

    @property
    def name(self) -> str:
        """Name of the model as the user gave it."""

    @property
    def network(self) -> Any: ...

    @property
    def device(self) -> Device: ...

    @property
    def dtype(self) -> str:
        """Dtype of the computation; the weights are fp32."""

    @property
    def vocabulary_size(self) -> int: ...

    @property
    def vocabulary_hash(self) -> str:
        """Hash of the tokens and their ids."""

    @property
    def margin_s(self) -> float:
        """Padding beyond the longest clip of a bucket under static shapes, in seconds."""

    @property
    def window_s(self) -> float | None:
        """Fixed input length in seconds, or None where the model takes any length."""

    def mark(self) -> Mapping[str, Any]:
        """Return what a checkpoint stores next to the weights, as JSON."""

    def label(self, text: str) -> Labels:
        """Return the token ids of a cleaned text; empty where there is nothing to train on."""

    def rejection_reason(self, duration_s: float, labels: Labels) -> tuple[str, str] | None:
        """Return why these labels cannot be trained with this much audio: the cause and details."""

    def minimum_samples(self, labels: Labels) -> int:
        """Return the fewest samples that speed perturbation must leave of a clip."""

    def with_static_shapes(self) -> Task:
        """Return the task with a network whose outputs do not depend on the bucket's padding."""

    def inputs(
        self, batch: AudioBatch, labels: Sequence[Labels], *, width: int, batch_size: int | None
    ) -> dict[str, torch.Tensor]:
        """Return the network's keyword arguments, with `labels` (B, L) padded to L = `width`.

        With `batch_size` the batch is filled up to it with dummy rows, which add nothing to the
        loss, where the task supports them.
        """

    def loss_scale(self, labels: Sequence[Labels], global_labels: Sequence[Labels]) -> float:
        """Return the factor with which the loss of some rows adds up to that of the whole batch."""

    def step_metrics(
        self, planned: PlannedBatch, inputs: Mapping[str, torch.Tensor], logits: torch.Tensor
    ) -> Any:
        """Return what `aggregate` needs of a step, without waiting for the device."""

    def aggregate(
        self, step_metrics: Sequence[Any], durations_s: Sequence[float]
    ) -> dict[str, float]:
        """Return entries of a trainer log; durations are those of the whole training set."""

    def recognizer(self) -> Recognizer:
        """Return the model with its current weights, to transcribe with."""

    def loss_meter(
        self, utterances: Sequence[Utterance], labels: Sequence[Labels]
    ) -> LossMeter | None:
        """Return what measures the loss of these while they are transcribed, if that is enough."""

    def save(self, directory: Path) -> None:
        """Write files that transformers 4.55 and 5 open."""


def scalar(value: float) -> torch.Tensor:
    """Return a number as a tensor: a compiler would make a plain number part of its program."""
    import torch

    return torch.tensor(value, dtype=torch.float32)


def padded_labels(labels: Sequence[Labels], width: int) -> torch.Tensor:
    """Return labels as an int64 tensor (B, L), padded with `IGNORED_LABEL` to L = `width`."""
    import torch

    padded = torch.full((len(labels), width), IGNORED_LABEL, dtype=torch.int64)
    for row, tokens in enumerate(labels):
        padded[row, : len(tokens)] = torch.tensor(tokens, dtype=torch.int64)
    return padded


def add_dummy_rows(batch: AudioBatch, batch_size: int) -> AudioBatch:
    """Return the batch filled up to `batch_size` with silent rows of length 0."""
    import numpy as np

    missing = batch_size - len(batch.utterances)
    return AudioBatch(
        utterances=(*batch.utterances, *batch.utterances[:1] * missing),
        samples=np.pad(batch.samples, ((0, missing), (0, 0))),
        lengths=np.pad(batch.lengths, (0, missing)),
    )

"""Training of encoder-decoder models with teacher forcing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaudi_asr_cli.core.devices.base import Device
from gaudi_asr_cli.core.inference.seq2seq import Seq2SeqRecognizer
from gaudi_asr_cli.core.inference.seq2seq_options import plan_batching
from gaudi_asr_cli.core.models.log_mel import LogMel
from gaudi_asr_cli.core.models.seq2seq.generation import Generation
from gaudi_asr_cli.core.models.seq2seq.labels import IGNORED_LABEL, Labeller, shift_right
from gaudi_asr_cli.core.models.seq2seq.model import Seq2SeqModel
from gaudi_asr_cli.core.models.seq2seq.tuning import save_seq2seq
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ, AudioBatch, PlannedBatch, Utterance
from gaudi_asr_cli.core.training.tasks.base import (
    Labels,
    add_dummy_rows,
    padded_labels,
)

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Seq2SeqTask:
    """See `Task`. `generation_config` says how text is generated for scores."""

    model: Seq2SeqModel
    labeller: Labeller
    generation_config: Generation
    kind: str = "finetune-seq2seq"
    generates: bool = True
    margin_s: float = 0.02

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def network(self) -> Any:
        return self.model.network

    @property
    def device(self) -> Device:
        return self.model.device

    @property
    def dtype(self) -> str:
        return self.model.dtype

    @property
    def vocabulary_size(self) -> int:
        return len(self.model.tokenizer)

    @property
    def vocabulary_hash(self) -> str:
        tokens = sorted(self.model.tokenizer.get_vocab().items())
        meaning = [tokens, self.labeller.start, self.labeller.end, self.labeller.prompt]
        return hashlib.sha256(json.dumps(meaning).encode()).hexdigest()

    @property
    def window_s(self) -> float | None:
        frontend = self.model.frontend
        if isinstance(frontend, LogMel):
            return frontend.window_samples / SAMPLE_RATE_HZ
        return None

    def mark(self) -> Mapping[str, Any]:
        return {"vocabulary_hash": self.vocabulary_hash}

    def label(self, text: str) -> Labels:
        return self.labeller.label(text)

    def rejection_reason(self, duration_s: float, labels: Labels) -> tuple[str, str] | None:
        """Return the limit that is exceeded: neither text nor audio is truncated.

        Half a text, or the text of half the audio, would train the model to drop words.
        """
        limit = self.model.token_limit
        if len(labels) > limit:
            return "text over the model's limit", f"{len(labels)} tokens, {limit} at most"
        if self.window_s is not None and duration_s > self.window_s:
            return "longer than the model's window", f"{duration_s:.2f} s, {self.window_s:g} s fit"
        return None

    def minimum_samples(self, labels: Labels) -> int:
        return int(getattr(self.model.frontend, "minimum_samples", 1))

    def with_static_shapes(self) -> Seq2SeqTask:
        return self

    def inputs(
        self, batch: AudioBatch, labels: Sequence[Labels], *, width: int, batch_size: int | None
    ) -> dict[str, torch.Tensor]:
        """Return the inputs; all labels of a dummy row are ignored by the mean over labels."""
        batch_size = len(labels) if batch_size is None else batch_size
        targets = padded_labels([*labels, *([()] * (batch_size - len(labels)))], width)  # (B, L)
        pad_id = self.model.reader.pad_id
        return {
            **self.model.frontend.prepare(add_dummy_rows(batch, batch_size)),
            "labels": targets,
            # Made here: models derive them in different ways, and on the device.
            "decoder_input_ids": shift_right(targets, self.labeller.start, pad_id),
        }

    def loss_scale(self, labels: Sequence[Labels], global_labels: Sequence[Labels]) -> float:
        return sum(map(len, labels)) / max(1, sum(map(len, global_labels)))

    def step_metrics(
        self, planned: PlannedBatch, inputs: Mapping[str, torch.Tensor], logits: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        labels = inputs["labels"].to(logits.device)  # (B, L)
        real = labels != IGNORED_LABEL
        return ((logits.argmax(dim=-1) == labels) & real).sum(), real.sum()

    def aggregate(
        self, step_metrics: Sequence[Any], durations_s: Sequence[float]
    ) -> dict[str, float]:
        """Return the token accuracy under teacher forcing."""
        correct = sum(int(one) for one, _ in step_metrics)
        return {"token_accuracy": correct / max(1, sum(int(total) for _, total in step_metrics))}

    def recognizer(self) -> Seq2SeqRecognizer:
        return Seq2SeqRecognizer(
            self.model, self.generation_config, plan_batching(self.model, None)
        )

    def loss_meter(self, utterances: Sequence[Utterance], labels: Sequence[Labels]) -> None:
        """Return None: the text is generated, and its loss needs the reference as input."""

    def save(self, directory: Path) -> None:
        save_seq2seq(self.model, directory)

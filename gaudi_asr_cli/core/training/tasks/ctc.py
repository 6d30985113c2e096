"""Training with the CTC loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaudi_asr_cli.core.decoding.base import Decoder
from gaudi_asr_cli.core.decoding.greedy import GreedyDecoder
from gaudi_asr_cli.core.devices.base import Device
from gaudi_asr_cli.core.inference.ctc import CtcRecognizer
from gaudi_asr_cli.core.models.ctc.model import CtcModel
from gaudi_asr_cli.core.models.ctc.tuning import save_model
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ, AudioBatch, PlannedBatch, Utterance
from gaudi_asr_cli.core.text.alignment import alignment_shortfall, minimum_frames
from gaudi_asr_cli.core.text.vocabulary import encode, vocabulary_hash
from gaudi_asr_cli.core.training.loss_meter import LossMeter
from gaudi_asr_cli.core.training.tasks.base import Labels, add_dummy_rows, padded_labels, scalar

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class CtcTask:
    """See `Task`; `decoder` is that of scores, None for greedy."""

    model: CtcModel
    decoder: Decoder | None = None
    kind: str = "finetune-ctc"
    generates: bool = False
    window_s: float | None = None

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
        return len(self.model.vocabulary.tokens)

    @property
    def vocabulary_hash(self) -> str:
        return vocabulary_hash(self.model.vocabulary)

    @property
    def margin_s(self) -> float:
        # One frame: an attention mask that happens to be all ones takes another code path in
        # transformers, which a compiling device compiles again and a graph has not captured.
        return self.model.geometry.frame_s

    def mark(self) -> Mapping[str, Any]:
        return {"vocabulary": list(self.model.vocabulary.tokens)}

    def label(self, text: str) -> Labels:
        return encode(self.model.vocabulary, text)

    def rejection_reason(self, duration_s: float, labels: Labels) -> tuple[str, str] | None:
        """Return the shortfall of frames, with which the CTC loss would be infinite."""
        frames = self.model.geometry.count_frames(round(duration_s * SAMPLE_RATE_HZ))
        shortfall = alignment_shortfall(labels, frames)
        return None if shortfall is None else ("too few frames for its text", str(shortfall))

    def minimum_samples(self, labels: Labels) -> int:
        # One frame more than CTC needs, so that a clip played faster still holds its text.
        geometry = self.model.geometry
        return geometry.minimum_samples + minimum_frames(labels) * geometry.frame_samples

    def with_static_shapes(self) -> CtcTask:
        from gaudi_asr_cli.core.models.ctc.masked_norm import make_padding_invariant

        return replace(self, model=make_padding_invariant(self.model))

    def inputs(
        self, batch: AudioBatch, labels: Sequence[Labels], *, width: int, batch_size: int | None
    ) -> dict[str, torch.Tensor]:
        """Return the inputs; a dummy row has one frame and more labels than align to one frame.

        Its loss is infinite, which `ctc_zero_infinity` sets to zero together with its gradient;
        `loss_scale` corrects the mean over all rows.
        """
        loss_scale = None
        if batch_size is not None:
            width, real = max(2, width), len(labels)
            batch_size = batch_size if self._allows_dummy_rows else real
            loss_scale = scalar(batch_size / real if self._reduces_to_mean else 1.0)
            labels = [*labels, *([(labels[0][0],) * width] * (batch_size - real))]
            batch = add_dummy_rows(batch, batch_size)
        inputs: dict[str, Any] = dict(self.model.frontend.prepare(batch))
        inputs["labels"] = padded_labels(labels, width)
        return inputs if loss_scale is None else {**inputs, "loss_scale": loss_scale}

    def loss_scale(self, labels: Sequence[Labels], global_labels: Sequence[Labels]) -> float:
        return len(labels) / len(global_labels) if self._reduces_to_mean else 1.0

    @property
    def _allows_dummy_rows(self) -> bool:
        """Dummy rows need a masked input and a zeroed infinite loss, or they would be trained."""
        return self.model.frontend.masks and bool(self.model.config.get("ctc_zero_infinity"))

    @property
    def _reduces_to_mean(self) -> bool:
        return bool(self.model.config.get("ctc_loss_reduction") == "mean")

    def step_metrics(
        self, planned: PlannedBatch, inputs: Mapping[str, torch.Tensor], logits: torch.Tensor
    ) -> tuple[PlannedBatch, torch.Tensor]:
        return planned, logits.argmax(dim=-1)  # (B, F, V) -> (B, F)

    def aggregate(
        self, step_metrics: Sequence[Any], durations_s: Sequence[float]
    ) -> dict[str, float]:
        """Return the share of frames whose most likely token is the blank."""
        blanks = frames = 0
        for planned, best_tokens in step_metrics:
            is_blank = (best_tokens == self.model.vocabulary.blank).cpu().numpy()  # (B, F)
            for row, index in enumerate(planned.indices):
                samples = round(durations_s[index] * SAMPLE_RATE_HZ)
                # Without the padding.
                row_frames = min(self.model.geometry.count_frames(samples), is_blank.shape[1])
                blanks += int(is_blank[row, :row_frames].sum())
                frames += row_frames
        return {"blank_share": blanks / frames if frames else 1.0}

    def recognizer(self) -> CtcRecognizer:
        decoder = self.decoder or GreedyDecoder(self.model.vocabulary)
        return CtcRecognizer(self.model, decoder)

    def loss_meter(self, utterances: Sequence[Utterance], labels: Sequence[Labels]) -> LossMeter:
        keys = ((one.id, one.audio) for one in utterances)
        return LossMeter(
            labels=dict(zip(keys, labels, strict=True)),
            blank=self.model.vocabulary.blank,
            zero_infinity=bool(self.model.config.get("ctc_zero_infinity")),
            by_length=self._reduces_to_mean,
        )

    def save(self, directory: Path) -> None:
        save_model(self.model, directory)

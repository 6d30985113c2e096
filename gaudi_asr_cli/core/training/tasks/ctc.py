"""Learning with CTC: letters from frames, blanks between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaudi_asr_cli.core.decoding.greedy import GreedyDecoder
from gaudi_asr_cli.core.devices.base import Device
from gaudi_asr_cli.core.events import Observer
from gaudi_asr_cli.core.inference.scoring import ScoringResult, score_utterances
from gaudi_asr_cli.core.models.ctc.model import CtcModel
from gaudi_asr_cli.core.models.ctc.tuning import save_model
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ, AudioBatch, PlannedBatch, Utterance
from gaudi_asr_cli.core.text.alignment import alignment_needs
from gaudi_asr_cli.core.text.vocabulary import encode, vocabulary_hash
from gaudi_asr_cli.core.training.tasks.base import Labels, fill_rows, padded_labels, scalar

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class CtcTask:
    """See `Task`."""

    model: CtcModel
    kind: str = "finetune-ctc"
    writes: bool = False
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
        # A frame: a mask that happened to be all ones would take another way through
        # transformers, which a device compiles anew, or a graph has not captured.
        return self.model.geometry.frame_s

    def mark(self) -> Mapping[str, Any]:
        return {"vocabulary": list(self.model.vocabulary.tokens)}

    def label(self, text: str) -> Labels:
        return encode(self.model.vocabulary, text)

    def rejection_reason(self, duration_s: float, labels: Labels) -> tuple[str, str] | None:
        """A frame for every label and one more between two equal neighbours, or the loss is inf."""
        frames = self.model.geometry.count_frames(round(duration_s * SAMPLE_RATE_HZ))
        needed = alignment_needs(labels)
        if frames < needed:
            return "too few frames for its text", f"{frames} frames, {needed} needed"
        return None

    def shortest_samples(self, labels: Labels) -> int:
        # A frame more than CTC needs: faster sound must still hold its text.
        geometry = self.model.geometry
        return geometry.minimum_samples + alignment_needs(labels) * geometry.frame_samples

    def with_static_shapes(self) -> CtcTask:
        from gaudi_asr_cli.core.models.ctc.masked_norm import make_padding_invariant

        return replace(self, model=make_padding_invariant(self.model))

    def inputs(
        self, batch: AudioBatch, labels: Sequence[Labels], *, width: int, rows: int | None
    ) -> dict[str, torch.Tensor]:
        """A silent row is heard as one frame and gets more labels than one frame can hold.

        Its loss is infinite, which `ctc_zero_infinity` makes zero together with its gradient;
        `share` puts right the mean over all rows.
        """
        share = None
        if rows is not None:
            width, real = max(2, width), len(labels)
            rows = rows if self._fills else real
            share = scalar(rows / real if self._takes_mean else 1.0)
            labels = [*labels, *([(labels[0][0],) * width] * (rows - real))]
            batch = fill_rows(batch, rows)
        inputs: dict[str, Any] = dict(self.model.frontend.prepare(batch))
        inputs["labels"] = padded_labels(labels, width)
        return inputs if share is None else {**inputs, "share": share}

    def loss_scale(self, own: Sequence[Labels], together: Sequence[Labels]) -> float:
        return len(own) / len(together) if self._takes_mean else 1.0

    @property
    def _fills(self) -> bool:
        """Silent rows teach nothing only where they are masked and their loss is zeroed."""
        return self.model.frontend.masks and bool(self.model.config.get("ctc_zero_infinity"))

    @property
    def _takes_mean(self) -> bool:
        return bool(self.model.config.get("ctc_loss_reduction") == "mean")

    def step_metrics(
        self, planned: PlannedBatch, inputs: Mapping[str, torch.Tensor], logits: torch.Tensor
    ) -> tuple[PlannedBatch, torch.Tensor]:
        return planned, logits.argmax(dim=-1)

    def aggregate(
        self, step_metrics: Sequence[Any], durations_s: Sequence[float]
    ) -> dict[str, float]:
        """The share of frames whose likeliest token is the blank."""
        blanks = frames = 0
        for planned, answers in step_metrics:
            said = (answers == self.model.vocabulary.blank).cpu().numpy()
            for row, index in enumerate(planned.indices):
                samples = round(durations_s[index] * SAMPLE_RATE_HZ)
                heard = min(self.model.geometry.count_frames(samples), said.shape[1])
                blanks += int(said[row, :heard].sum())
                frames += heard
        return {"blank_share": blanks / frames if frames else 1.0}

    def hear(
        self,
        utterances: Sequence[Utterance],
        normalize: Callable[[str], str],
        *,
        stage: str,
        observe: Observer,
    ) -> ScoringResult:
        decoder = GreedyDecoder(self.model.vocabulary)
        return score_utterances(
            self.model, utterances, decoder, normalize, stage=stage, observe=observe
        )

    def save(self, directory: Path) -> None:
        save_model(self.model, directory)

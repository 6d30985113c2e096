"""The CTC loss of utterances, from the emissions that they are decoded from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gaudi_asr_cli.core.decoding.base import Decoder
from gaudi_asr_cli.core.records import AudioSpan, Emissions, Transcript, Utterance

UtteranceKey = tuple[str, AudioSpan]


@dataclass(frozen=True, slots=True)
class LossMeter:
    """Losses of utterances that were decoded, so that no second forward pass computes them.

    Args:
        labels: Token ids of each utterance that has a loss.
        blank: Column of the blank.
        zero_infinity: Count an infinite loss as zero, as in training.
        by_length: Divide each loss by the number of its labels, and take the mean of a batch (the
            reduction `mean` of torch); otherwise a batch has the sum.
        losses: Filled with the loss of each utterance.
    """

    labels: dict[UtteranceKey, tuple[int, ...]]
    blank: int
    zero_infinity: bool
    by_length: bool
    losses: dict[UtteranceKey, float] = field(default_factory=dict)

    def measured(self, recognizer: Any) -> Any:
        """Return the recogniser with a decoder that fills in `losses` as it decodes."""
        return replace(recognizer, decoder=_MeasuringDecoder(recognizer.decoder, self))

    def measure(self, emissions: Emissions, index: int, utterance: Utterance) -> None:
        """Compute the loss of a row of emissions, if the utterance has labels."""
        import torch
        from torch.nn.functional import ctc_loss

        key = (utterance.id, utterance.audio)
        labels = self.labels.get(key)
        if labels is None:
            return
        frames = int(emissions.frames[index])
        log_probs = torch.from_numpy(emissions.log_probs[index, :frames]).float()[:, None]
        loss = ctc_loss(
            log_probs,  # (F, 1, V)
            torch.tensor([labels]),
            torch.tensor([frames]),
            torch.tensor([len(labels)]),
            blank=self.blank,
            reduction="sum",
            zero_infinity=self.zero_infinity,
        )
        self.losses[key] = float(loss) / (max(1, len(labels)) if self.by_length else 1)

    def batch_loss(self, utterances: Iterable[Utterance]) -> float | None:
        """Return the loss of a batch of these; None if one of them was not measured."""
        found = [self.losses.get((one.id, one.audio), math.nan) for one in utterances]
        total = sum(found)
        if math.isnan(total):
            return None
        return total / len(found) if self.by_length else total


@dataclass(frozen=True, slots=True)
class _MeasuringDecoder:
    """A decoder of emissions that also measures their loss; long audio in chunks has none."""

    decoder: Decoder
    meter: LossMeter

    @property
    def threads(self) -> int:
        threads: int = getattr(self.decoder, "threads", 1)
        return threads

    def decode(self, output: Emissions, index: int, utterance: Utterance) -> Transcript:
        self.meter.measure(output, index, utterance)
        return self.decoder.decode(output, index, utterance)

    def condense(self, output: Emissions, index: int) -> Any:
        return self.decoder.condense(output, index)

    def assemble(self, parts: Sequence[Any], utterance: Utterance) -> Transcript:
        return self.decoder.assemble(parts, utterance)

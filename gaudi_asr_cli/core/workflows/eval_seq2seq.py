"""`eval-seq2seq`: score an encoder-decoder on data with text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gaudi_asr_cli.core.decoding.hypotheses import HypothesisDecoder
from gaudi_asr_cli.core.devices.base import Device
from gaudi_asr_cli.core.events import Observer, ignore
from gaudi_asr_cli.core.models.folder import find_model
from gaudi_asr_cli.core.text.casing import casing_of
from gaudi_asr_cli.core.workflows.evaluation import (
    EvalReport,
    EvalRequest,
    OpenedModel,
    ScorableData,
    evaluate,
)

if TYPE_CHECKING:
    from gaudi_asr_cli.core.inference.seq2seq import Seq2SeqRecognizer


@dataclass(frozen=True, slots=True)
class EvalSeq2SeqRequest(EvalRequest):
    """See `EvalRequest`, `Generation` (task to beams) and `open_seq2seq_recognizer` (the rest)."""

    task: str | None = None
    max_tokens: int | None = None
    beams: int = 1
    long: str = "auto"
    batch_size: int | None = None


def eval_seq2seq(
    request: EvalSeq2SeqRequest, device: Device, observe: Observer = ignore
) -> EvalReport:
    """Score the hypotheses of an encoder-decoder and list repetitive ones; see `evaluate`.

    Raises:
        UsageError: Also if the model does not support the language or task.
    """

    def open_model(data: ScorableData) -> OpenedModel:
        return OpenedModel(open_seq2seq(request, device), HypothesisDecoder())

    return evaluate(request, device, observe, command="eval-seq2seq", open_model=open_model)


def open_seq2seq(request: EvalSeq2SeqRequest, device: Device) -> Seq2SeqRecognizer:
    """Open the model of the request on the device."""
    # Here, not above: transformers takes seconds to import, and bad data is reported at once.
    from gaudi_asr_cli.core.inference.seq2seq import open_seq2seq_recognizer
    from gaudi_asr_cli.core.models.seq2seq.generation import Generation

    return open_seq2seq_recognizer(
        request.model,
        device=device,
        dtype=request.dtype,
        generation_config=Generation(
            language=_prompt(request),
            task=request.task,
            max_tokens=request.max_tokens,
            beams=request.beams,
        ),
        long=request.long,
        batch_size=request.batch_size,
    )


def _prompt(request: EvalSeq2SeqRequest) -> str | None:
    """Return the language of a Whisper's prompt; other decoders have no prompt."""
    if casing_of(request.language) is None:
        return request.language
    config = find_model(request.model, kind="seq2seq").read_config()
    return request.language if config.get("model_type") == "whisper" else None

"""`eval-seq2seq`: a model that writes with a decoder against data with text."""

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
    Gathered,
    OpenedModel,
    evaluate,
)

if TYPE_CHECKING:
    from gaudi_asr_cli.core.inference.seq2seq import Seq2SeqRecognizer


@dataclass(frozen=True, slots=True)
class EvalSeq2SeqRequest(EvalRequest):
    """See `EvalRequest`; `Generation` for `task` and on, `open_seq2seq_recognizer` for the rest."""

    task: str | None = None
    max_tokens: int | None = None
    beams: int = 1
    long: str = "auto"
    rows: int | None = None


def eval_seq2seq(
    request: EvalSeq2SeqRequest, device: Device, observe: Observer = ignore
) -> EvalReport:
    """Score what the model writes, and list what looks made up; see `evaluate`.

    Raises:
        UsageError: Also where the model knows no such language or task.
    """

    def opened(gathered: Gathered) -> OpenedModel:
        return OpenedModel(open_seq2seq(request, device), HypothesisDecoder())

    return evaluate(request, device, observe, command="eval-seq2seq", open_model=opened)


def open_seq2seq(request: EvalSeq2SeqRequest, device: Device) -> Seq2SeqRecognizer:
    """The model of the request, on the device."""
    # Here, not above: transformers takes seconds to import, and bad data should be told at once.
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
        batch_size=request.rows,
    )


def _prompt(request: EvalSeq2SeqRequest) -> str | None:
    """The language of a Whisper's prompt; other decoders have none, and only their texts are it."""
    if casing_of(request.language) is None:
        return request.language
    config = find_model(request.model, kind="seq2seq").read_config()
    return request.language if config.get("model_type") == "whisper" else None

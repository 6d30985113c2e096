"""`eval-ctc`: a CTC model against data with text, every utterance accounted for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gaudi_asr_cli.core.decoding import DEFAULT_DECODER, make_decoder
from gaudi_asr_cli.core.devices.base import Device
from gaudi_asr_cli.core.events import Noticed, Observer, ignore
from gaudi_asr_cli.core.models.folder import find_model
from gaudi_asr_cli.core.records import Utterance, Vocabulary
from gaudi_asr_cli.core.text.casing import casing_of
from gaudi_asr_cli.core.text.vocabulary import suggest_case
from gaudi_asr_cli.core.workflows.evaluation import (
    EvalReport,
    EvalRequest,
    Gathered,
    OpenedModel,
    evaluate,
)

if TYPE_CHECKING:
    from gaudi_asr_cli.core.inference.ctc import OpenCtcModel

_SAMPLE_UTTERANCES = 50  # enough text to see which case the references are written in


@dataclass(frozen=True, slots=True)
class EvalCtcRequest(EvalRequest):
    """See `EvalRequest`; `language` is also the adapter of a multilingual model."""

    int8: bool = False
    decoder: str = DEFAULT_DECODER


def eval_ctc(request: EvalCtcRequest, device: Device, observe: Observer = ignore) -> EvalReport:
    """Score what a CTC model hears; see `evaluate`."""

    def opened(gathered: Gathered) -> OpenedModel:
        model = open_ctc(request, device)
        _warn_of_case(request, model.vocabulary, gathered.scorable, observe)
        decoder = make_decoder(request.decoder, model.vocabulary)
        return OpenedModel(model, decoder, model.vocabulary.phonemes_of)

    return evaluate(request, device, observe, command="eval-ctc", open_model=opened)


def open_ctc(request: EvalCtcRequest, device: Device) -> OpenCtcModel:
    """The model of the request, on the device, in the fastest way that changes nothing."""
    # Here, not above: transformers takes seconds to import, and bad data should be told at once.
    from gaudi_asr_cli.core.inference.ctc import InferenceOptions, open_ctc_recognizer

    return open_ctc_recognizer(
        request.model,
        device=device,
        dtype=request.dtype,
        language=_adapter(request),
        options=InferenceOptions(int8=request.int8),
    )


def _adapter(request: EvalCtcRequest) -> str | None:
    """The language whose adapter is wanted; a model without adapters has only texts in it."""
    if casing_of(request.language) is None:
        return request.language
    config = find_model(request.model).read_config()
    return None if config.get("adapter_attn_dim") is None else request.language


def _warn_of_case(
    request: EvalCtcRequest,
    vocabulary: Vocabulary,
    utterances: Sequence[Utterance],
    observe: Observer,
) -> None:
    if request.normalizer != "none" or vocabulary.phonemes_of is not None:
        return
    sample = " ".join(
        request.rules.clean(one.text or "") for one in utterances[:_SAMPLE_UTTERANCES]
    )
    case = suggest_case(vocabulary, sample)
    if case != "keep":
        observe(
            Noticed(
                f"The model writes {case}-case letters, the references do not: "
                "every such word counts as an error.",
                remedy=f"Compare with --normalizer basic, or fold with --case {case}.",
            )
        )

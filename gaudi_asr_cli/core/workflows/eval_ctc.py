"""`eval-ctc`: score a CTC model on data with text."""

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
    OpenedModel,
    ScorableData,
    evaluate,
)

if TYPE_CHECKING:
    from gaudi_asr_cli.core.inference.ctc import OpenCtcModel

_SAMPLE_UTTERANCES = 50  # enough text to find the case of the references


@dataclass(frozen=True, slots=True)
class EvalCtcRequest(EvalRequest):
    """See `EvalRequest`; `language` is also the adapter of a multilingual model."""

    int8: bool = False
    decoder: str = DEFAULT_DECODER


def eval_ctc(request: EvalCtcRequest, device: Device, observe: Observer = ignore) -> EvalReport:
    """Score the hypotheses of a CTC model; see `evaluate`."""

    def open_model(data: ScorableData) -> OpenedModel:
        model = open_ctc(request, device)
        _warn_of_case(request, model.vocabulary, data.utterances, observe)
        decoder = make_decoder(request.decoder, model.vocabulary)
        return OpenedModel(model, decoder, model.vocabulary.phonemes_of)

    return evaluate(request, device, observe, command="eval-ctc", open_model=open_model)


def open_ctc(request: EvalCtcRequest, device: Device) -> OpenCtcModel:
    """Open the model of the request in the fastest exact way."""
    # Here, not above: transformers takes seconds to import, and bad data is reported at once.
    from gaudi_asr_cli.core.inference.ctc import InferenceOptions, open_ctc_recognizer

    return open_ctc_recognizer(
        request.model,
        device=device,
        dtype=request.dtype,
        language=_adapter(request),
        options=InferenceOptions(int8=request.int8),
    )


def _adapter(request: EvalCtcRequest) -> str | None:
    """Return the language whose adapter to load; None for a model without adapters."""
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
                f"The model's text is {case}-case, the references are not: "
                "every such word counts as an error.",
                remedy=f"Compare with --normalizer basic, or fold with --case {case}.",
            )
        )

"""A check that transcripts do not depend on batching: unbatched, padded and usual inference."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from gaudi_asr_cli.core.data.buckets import Batching
from gaudi_asr_cli.core.decoding.base import Decoder
from gaudi_asr_cli.core.events import UtteranceDone
from gaudi_asr_cli.core.inference.batched import BATCH_S, BatchedModel
from gaudi_asr_cli.core.inference.prefetch import Loader
from gaudi_asr_cli.core.inference.transcribe import transcribe
from gaudi_asr_cli.core.inference.unbatched import EmissionModel, Recognizer
from gaudi_asr_cli.core.models.ctc.masked_norm import make_padding_invariant
from gaudi_asr_cli.core.models.ctc.model import CtcModel
from gaudi_asr_cli.core.records import Utterance

CHECK_BUCKETS = 2


@dataclass(frozen=True, slots=True)
class TextDifference:
    """A file whose text changed: `alone` is unbatched, `other` the text of inference by `way`."""

    path: str
    way: str
    alone: str
    other: str


@dataclass(frozen=True, slots=True)
class BatchingCheck:
    """The result of a check; `ways` of inference were compared with unbatched inference."""

    files: int
    ways: tuple[str, ...]
    differences: tuple[TextDifference, ...]


def check_batching(
    model: CtcModel,
    usual: EmissionModel,
    utterances: Sequence[Utterance],
    decoder: Decoder,
    *,
    channel: int | None = None,
    load: Loader | None = None,
) -> BatchingCheck:
    """Compare the transcripts of unbatched and batched inference.

    Unbatched inference runs transformers' code without padding. It is compared with padded
    batches, if the model can be batched at all, and with the `usual` model.

    Args:
        model: Its weights are already in `model.dtype`.
        usual: The model that `infer` uses.
        utterances: Those that cannot be loaded count as files with empty text.
        decoder: Turns emissions into text.
        channel: Channel of the files, from 0; None downmixes to mono.
        load: Loads audio; see `transcribe`.
    """
    ways: dict[str, EmissionModel | Recognizer] = {} if usual is model else {"as usual": usual}
    batched = _in_padded_batches(model)
    if batched is not None and not isinstance(usual, BatchedModel):
        ways["in padded batches"] = batched
    transcribe_with = partial(transcribe, decoder=decoder, channel=channel, load=load)
    return compare_ways(model, ways, utterances, transcribe_with)


def compare_ways(
    unbatched: EmissionModel | Recognizer,
    ways: Mapping[str, EmissionModel | Recognizer],
    utterances: Sequence[Utterance],
    transcribe_with: Callable[
        [EmissionModel | Recognizer, Sequence[Utterance]], Iterable[UtteranceDone]
    ],
) -> BatchingCheck:
    """Compare the transcripts of each model in `ways` with those of the unbatched model."""

    def texts_of(model: EmissionModel | Recognizer) -> list[str]:
        results = transcribe_with(model, utterances)
        return ["" if one.transcript is None else one.transcript.text for one in results]

    references = texts_of(unbatched)
    differences = [
        TextDifference(str(utterance.audio.path), way, reference, other)
        for way, model in ways.items()
        for utterance, reference, other in zip(utterances, references, texts_of(model), strict=True)
        if reference != other
    ]
    return BatchingCheck(len(utterances), tuple(ways), tuple(differences))


def _in_padded_batches(model: CtcModel) -> BatchedModel | None:
    """Return the model in batches of few shapes, even if its device gains nothing from them."""
    invariant = make_padding_invariant(replace(model))
    if not invariant.padding_invariant:
        return None
    batching = Batching((), BATCH_S, static_shapes=True)
    return BatchedModel(invariant, model.device.copier(), batching, buckets=CHECK_BUCKETS)

"""Whether text depends on who shares a batch: each file alone, in padded batches, and as usual."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from gaudi_asr_cli.core.data.buckets import Batching
from gaudi_asr_cli.core.decoding import Decoder
from gaudi_asr_cli.core.events import UtteranceDone
from gaudi_asr_cli.core.inference.batched import BATCH_S, BatchedModel
from gaudi_asr_cli.core.inference.prefetch import Loader
from gaudi_asr_cli.core.inference.transcribe import transcribe
from gaudi_asr_cli.core.inference.unbatched import EmissionModel, Recognizer
from gaudi_asr_cli.core.models.ctc.masked_norm import make_padding_invariant
from gaudi_asr_cli.core.models.ctc.model import CtcModel
from gaudi_asr_cli.core.records import Utterance

PROOF_BUCKETS = 2


@dataclass(frozen=True, slots=True)
class TextDifference:
    """A file whose text changed, what it is alone, and what it is `way` (batched, or as usual)."""

    path: str
    way: str
    alone: str
    other: str


@dataclass(frozen=True, slots=True)
class BatchingCheck:
    """What came of it; `ways` are those that were compared with each file alone."""

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
    """Compare the text of each utterance heard alone with that in company.

    Alone is by transformers' code without padding; in company is in padded batches, where the
    model can be batched at all, and as `usual` has it.

    Args:
        model: Its weights already in `model.dtype`.
        usual: What `infer` listens with.
        utterances: Those that cannot be loaded count as files without text.
        decoder: Turns emissions into text.
        channel: Which channel of the files; all mixed down without it.
        load: Loads audio; see `transcribe`.
    """
    ways: dict[str, EmissionModel | Recognizer] = {} if usual is model else {"as usual": usual}
    batched = _in_padded_batches(model)
    if batched is not None and not isinstance(usual, BatchedModel):
        ways["in padded batches"] = batched
    hear = partial(transcribe, decoder=decoder, channel=channel, load=load)
    return compare_ways(model, ways, utterances, hear)


def compare_ways(
    single: EmissionModel | Recognizer,
    ways: Mapping[str, EmissionModel | Recognizer],
    utterances: Sequence[Utterance],
    transcribe_with: Callable[
        [EmissionModel | Recognizer, Sequence[Utterance]], Iterable[UtteranceDone]
    ],
) -> BatchingCheck:
    """Compare the texts of some ways of listening with those of listening to each alone."""

    def hear(listener: EmissionModel | Recognizer) -> list[str]:
        heard = transcribe_with(listener, utterances)
        return ["" if one.transcript is None else one.transcript.text for one in heard]

    alone = hear(single)
    differences = [
        TextDifference(str(utterance.audio.path), way, single, other)
        for way, listener in ways.items()
        for utterance, single, other in zip(utterances, alone, hear(listener), strict=True)
        if single != other
    ]
    return BatchingCheck(len(utterances), tuple(ways), tuple(differences))


def _in_padded_batches(model: CtcModel) -> BatchedModel | None:
    """The model in batches of few shapes, whether or not these gain anything on its device."""
    proof = make_padding_invariant(replace(model))
    if not proof.padding_invariant:
        return None
    batching = Batching((), BATCH_S, static_shapes=True)
    return BatchedModel(proof, model.device.copier(), batching, buckets=PROOF_BUCKETS)

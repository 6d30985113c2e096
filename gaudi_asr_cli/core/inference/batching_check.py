"""A check that transcripts do not depend on batching: unbatched, padded and usual inference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gaudi_asr_cli.core.inference.prefetch import Loader
from gaudi_asr_cli.core.inference.recognizer import Recognizer
from gaudi_asr_cli.core.inference.transcribe import transcribe
from gaudi_asr_cli.core.records import Utterance


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
    unbatched: Recognizer,
    usual: Recognizer,
    utterances: Sequence[Utterance],
    *,
    channel: int | None = None,
    load: Loader | None = None,
) -> BatchingCheck:
    """Compare the transcripts of unbatched and batched inference.

    Args:
        unbatched: The model opened with the mode `unbatched`. It is also compared with itself in
            padded batches, if it can be batched and `usual` is not batched.
        usual: The model as `infer` uses it.
        utterances: Those that cannot be loaded count as files with empty text.
        channel: Channel of the files, from 0; None downmixes to mono.
        load: Loads audio; see `transcribe`.
    """
    ways = {} if _same_inference(unbatched, usual) else {"as usual": usual}
    padded = unbatched.in_padded_batches() if usual.batching is None else None
    if padded is not None:
        ways["in padded batches"] = padded

    def texts_of(recognizer: Recognizer) -> list[str]:
        results = transcribe(recognizer, utterances, channel=channel, load=load)
        return ["" if one.transcript is None else one.transcript.text for one in results]

    references = texts_of(unbatched)
    differences = [
        TextDifference(str(utterance.audio.path), way, reference, other)
        for way, recognizer in ways.items()
        for utterance, reference, other in zip(
            utterances, references, texts_of(recognizer), strict=True
        )
        if reference != other
    ]
    return BatchingCheck(len(utterances), tuple(ways), tuple(differences))


def _same_inference(unbatched: Recognizer, usual: Recognizer) -> bool:
    return usual.batching == unbatched.batching and usual.backend == unbatched.backend

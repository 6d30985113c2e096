"""What `check` judges of data for a model that writes: do the texts fit into its decoder?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gaudi_asr_cli.core.records import Utterance
from gaudi_asr_cli.core.training.examples import UNKNOWN_LIMIT
from gaudi_asr_cli.core.workflows.check_findings import (
    Finding,
    Severity,
    judge,
    judge_refused,
)

if TYPE_CHECKING:
    from gaudi_asr_cli.core.models.labels import Labeller

ANY_LANGUAGE = "english"
"""Prompts of a multilingual Whisper are of one length, whatever the language."""


@dataclass(frozen=True, slots=True)
class Writer:
    """A model that writes, without its weights.

    Args:
        labeller: Turns texts into the labels that it would learn.
        most_tokens: Labels that its decoder has places for.
        window_s: The longest sound that it hears as a whole; None where there is no such limit.
    """

    labeller: Labeller
    most_tokens: int
    window_s: float | None


def open_writer(name: str) -> Writer:
    """The model's tokenizer and limits; no weights are read.

    Raises:
        DataError: The folder holds no such model, or one whose decoder does not listen.
        UnreachableError: A hub id that is neither cached nor reachable.
    """
    from gaudi_asr_cli.core.models.labels import open_labeller
    from gaudi_asr_cli.core.models.prompts import Generation, is_multilingual
    from gaudi_asr_cli.core.models.seq2seq import outline_seq2seq_model
    from gaudi_asr_cli.core.training.seq2seq_task import Seq2SeqTask

    model = outline_seq2seq_model(name)
    asked = model.is_whisper and is_multilingual(model.settings)
    how = Generation(language=ANY_LANGUAGE if asked else None)
    labeller = open_labeller(model, how)
    return Writer(labeller, model.token_limit, Seq2SeqTask(model, labeller, how).window_s)


def judge_writing(
    train: Sequence[Utterance], texts: Sequence[str], everything: Sequence[str], writer: Writer
) -> Iterable[Finding]:
    """Texts and sounds of training against the decoder; what the tokenizer cannot spell, of all.

    Args:
        train: What would be trained on, with its cleaned `texts`.
        texts: See `train`.
        everything: Cleaned texts of training and evaluation.
        writer: The model.
    """
    lengths = [len(writer.labeller.label(text)) for text in texts]
    yield judge_refused(
        "over_token_limit",
        [
            f"{one.id}: {tokens} tokens, {writer.most_tokens} at most"
            for one, tokens in zip(train, lengths, strict=True)
            if tokens > writer.most_tokens
        ],
        len(train),
        "Training refuses these, for half a text teaches to stop too early: cut them at pauses.",
    )
    window_s = writer.window_s
    if window_s is not None:
        yield judge_refused(
            "over_window",
            [
                f"{one.id}: {one.audio.duration_s:.2f} s, {window_s:g} s fit"
                for one in train
                if (one.audio.duration_s or 0.0) > window_s
            ],
            len(train),
            "Training refuses these: the model hears so much at a time. Cut them at pauses.",
        )
    yield _judge_spelling(everything, writer.labeller.count_unknown)


def _judge_spelling(
    texts: Sequence[str], count_unknown: Callable[[str], tuple[int, int]]
) -> Finding:
    counts = [count_unknown(text) for text in texts]
    unknown, tokens = sum(one for one, _ in counts), sum(of for _, of in counts)
    worst = [text for text, (one, _) in zip(texts, counts, strict=True) if one]
    severity: Severity = "stops" if unknown > UNKNOWN_LIMIT * tokens else "warns"
    remedy = (
        "Fold the case if that is all (--case lower), strip characters with --strip-chars, or take "
        "a model for this language."
    )
    found = judge("unknown_tokens", worst, tokens, remedy, severity, unit="tokens")
    return found.with_count(unknown)

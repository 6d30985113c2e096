"""The tests of `check` for encoder-decoders: limits of the model, unknown tokens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from gaudi_asr_cli.core.records import Utterance
from gaudi_asr_cli.core.training.examples import UNKNOWN_LIMIT
from gaudi_asr_cli.core.workflows.check.findings import (
    SHOWN_EXAMPLES,
    CheckFinding,
    Severity,
    judge_skipped,
)

if TYPE_CHECKING:
    from gaudi_asr_cli.core.training.tasks.seq2seq import Seq2SeqTask

ANY_LANGUAGE = "english"
"""The prompt of a multilingual Whisper has the same length for every language."""


def outline_task(name: str) -> Seq2SeqTask:
    """Open the tokenizer and the limits of the model that would be trained, without weights.

    Raises:
        DataError: The folder holds no such model, or its decoder has no cross-attention.
        UnreachableError: A hub id is neither cached nor reachable.
    """
    from gaudi_asr_cli.core.models.seq2seq.generation import Generation, is_multilingual
    from gaudi_asr_cli.core.models.seq2seq.labels import open_labeller
    from gaudi_asr_cli.core.models.seq2seq.model import outline_seq2seq_model
    from gaudi_asr_cli.core.training.tasks.seq2seq import Seq2SeqTask

    model = outline_seq2seq_model(name)
    multilingual = is_multilingual(model.settings)
    generation = Generation(language=ANY_LANGUAGE if multilingual else None)
    return Seq2SeqTask(model, open_labeller(model, generation), generation)


def judge_limits(
    utterances: Sequence[Utterance], texts: Sequence[str], task: Seq2SeqTask
) -> CheckFinding:
    """Find training texts over the decoder's positions and audio over the model's window."""
    skipped = [
        f"{one.id}: {reason[0]}, {reason[1]}"
        for one, text in zip(utterances, texts, strict=True)
        if (reason := task.rejection_reason(one.audio.duration_s or 0.0, task.label(text)))
    ]
    remedy = "Training skips these, because truncated text or audio would be wrong: cut at pauses."
    return judge_skipped("over_limits", skipped, len(texts), remedy)


def judge_tokenisation(texts: Sequence[str], task: Seq2SeqTask) -> CheckFinding:
    """Find tokens that the tokenizer does not know."""
    from gaudi_asr_cli.core.models.seq2seq.labels import TOKENISATION_REMEDY, count_tokenisation

    tokenisation = count_tokenisation(task.labeller, texts)
    severity: Severity = "fine"
    if tokenisation.unknown:
        many = tokenisation.unknown > UNKNOWN_LIMIT * tokenisation.tokens
        severity = "stops" if many else "warns"
    return CheckFinding(
        "unknown_tokens",
        severity,
        tokenisation.unknown,
        tokenisation.tokens,
        unit="tokens",
        examples=tokenisation.texts[:SHOWN_EXAMPLES],
        remedy=TOKENISATION_REMEDY if tokenisation.unknown else "",
    )


def judge_seq2seq(
    utterances: Sequence[Utterance],
    texts: Sequence[str],
    everything: Sequence[str],
    task: Seq2SeqTask,
) -> Iterable[CheckFinding]:
    """Check the limits of the training data, and the tokens of `everything`, with evaluation."""
    yield judge_limits(utterances, texts, task)
    yield judge_tokenisation(everything, task)

"""What `check` judges of data for a model that writes: does training take it, can it be spelt?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from gaudi_asr_cli.core.records import Utterance
from gaudi_asr_cli.core.training.examples import UNKNOWN_LIMIT
from gaudi_asr_cli.core.workflows.check.findings import (
    SHOWN_EXAMPLES,
    CheckFinding,
    Severity,
    judge_refused,
)

if TYPE_CHECKING:
    from gaudi_asr_cli.core.training.tasks.seq2seq import Seq2SeqTask

ANY_LANGUAGE = "english"
"""Prompts of a multilingual Whisper are of one length, whatever the language."""


def outline_task(name: str) -> Seq2SeqTask:
    """What would be trained, without its weights: its tokenizer and its limits.

    Raises:
        DataError: The folder holds no such model, or one whose decoder does not listen.
        UnreachableError: A hub id that is neither cached nor reachable.
    """
    from gaudi_asr_cli.core.models.seq2seq.generation import Generation, is_multilingual
    from gaudi_asr_cli.core.models.seq2seq.labels import open_labeller
    from gaudi_asr_cli.core.models.seq2seq.model import outline_seq2seq_model
    from gaudi_asr_cli.core.training.tasks.seq2seq import Seq2SeqTask

    model = outline_seq2seq_model(name)
    asked = model.is_whisper and is_multilingual(model.settings)
    how = Generation(language=ANY_LANGUAGE if asked else None)
    return Seq2SeqTask(model, open_labeller(model, how), how)


def judge_limits(
    utterances: Sequence[Utterance], texts: Sequence[str], task: Seq2SeqTask
) -> CheckFinding:
    """Cleaned texts and sounds of training against the decoder's places and the model's window."""
    refused = [
        f"{one.id}: {rejection_reason[0]}, {rejection_reason[1]}"
        for one, text in zip(utterances, texts, strict=True)
        if (
            rejection_reason := task.rejection_reason(one.audio.duration_s or 0.0, task.label(text))
        )
    ]
    remedy = (
        "Training refuses these, for half a text or half a sound teaches what is wrong: cut them "
        "at pauses."
    )
    return judge_refused("over_limits", refused, len(texts), remedy)


def judge_tokenisation(texts: Sequence[str], task: Seq2SeqTask) -> CheckFinding:
    """Tokens that the tokenizer does not know."""
    from gaudi_asr_cli.core.models.seq2seq.labels import TOKENISATION_REMEDY, count_tokenisation

    spelling = count_tokenisation(task.labeller, texts)
    severity: Severity = "fine"
    if spelling.unknown:
        many = spelling.unknown > UNKNOWN_LIMIT * spelling.tokens
        severity = "stops" if many else "warns"
    return CheckFinding(
        "unknown_tokens",
        severity,
        spelling.unknown,
        spelling.tokens,
        unit="tokens",
        examples=spelling.texts[:SHOWN_EXAMPLES],
        remedy=TOKENISATION_REMEDY if spelling.unknown else "",
    )


def judge_seq2seq(
    utterances: Sequence[Utterance],
    texts: Sequence[str],
    everything: Sequence[str],
    task: Seq2SeqTask,
) -> Iterable[CheckFinding]:
    """Limits for what would be trained on, spelling for `everything`, evaluation included."""
    yield judge_limits(utterances, texts, task)
    yield judge_tokenisation(everything, task)

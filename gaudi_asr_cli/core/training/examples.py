"""Which utterances can be learnt from, and why the others cannot: nothing is dropped silently."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.records import Utterance, Vocabulary
from gaudi_asr_cli.core.text.rules import TextRules
from gaudi_asr_cli.core.text.unknown import fix_unknown
from gaudi_asr_cli.core.text.vocabulary import count_unknown
from gaudi_asr_cli.core.training.tasks.base import Labels, Task

UNKNOWN_LIMIT = 0.05
"""A vocabulary that lacks more of the data's characters than this share belongs to other data."""


@dataclass(frozen=True, slots=True)
class RejectedExample:
    """An utterance that is not trained on; `reason` is the same phrase for the same cause."""

    utterance_id: str
    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Examples:
    """Utterances with their labels, and those that were refused."""

    utterances: tuple[Utterance, ...]
    labels: tuple[Labels, ...]
    refused: tuple[RejectedExample, ...] = ()

    @property
    def reasons(self) -> dict[str, int]:
        """How many were refused for each reason, commonest first."""
        return dict(Counter(refusal.reason for refusal in self.refused).most_common())


@dataclass(frozen=True, slots=True)
class Limits:
    """Lengths that are trained on, in seconds; None: no upper limit."""

    min_s: float = 0.0
    max_s: float | None = None


def select_examples(
    utterances: Iterable[Utterance],
    rules: TextRules,
    task: Task,
    limits: Limits,
) -> Examples:
    """Label what the task can learn; refuse the rest, each with its reason.

    Raises:
        DataError: Nothing is left to train on.
    """
    kept: list[Utterance] = []
    labels: list[Labels] = []
    refused: list[RejectedExample] = []
    for utterance in utterances:
        tokens = task.label(rules.clean(utterance.text or ""))
        refusal = _refuse(utterance, tokens, task, limits)
        if refusal is not None:
            refused.append(refusal)
        else:
            kept.append(utterance)
            labels.append(tokens)
    if not kept:
        raise _nothing_left(refused)
    return Examples(tuple(kept), tuple(labels), tuple(refused))


def _nothing_left(refused: Sequence[RejectedExample]) -> DataError:
    """All were refused: each reason with the first utterances, since no run lists them."""
    reasons = "; ".join(
        f"{reason} ({name_some([one for one in refused if one.reason == reason])})"
        for reason in sorted({one.reason for one in refused})
    )
    return DataError(
        f"Nothing is left to train on: {reasons or 'no utterance at all'}.",
        remedy="Split or mend these, or move the limits (--max-seconds, --min-seconds). "
        "`gaudi-asr check DATA` looks at all files.",
    )


def name_some(refused: Sequence[RejectedExample]) -> str:
    """The first five of those that were refused, with what is known of each."""
    shown = [
        f"{one.utterance_id} ({one.detail})" if one.detail else one.utterance_id
        for one in refused[:5]
    ]
    return ", ".join([*shown, "..."] if len(refused) > len(shown) else shown)


def _refuse(
    utterance: Utterance, tokens: Labels, task: Task, limits: Limits
) -> RejectedExample | None:
    duration_s = utterance.audio.duration_s or 0.0
    if not tokens:
        return RejectedExample(utterance.id, "no text")
    if duration_s < limits.min_s:
        return RejectedExample(utterance.id, "too short", f"{duration_s:.2f} s")
    if limits.max_s is not None and duration_s > limits.max_s:
        return RejectedExample(utterance.id, "too long", f"{duration_s:.2f} s")
    rejection_reason = task.rejection_reason(duration_s, tokens)
    return None if rejection_reason is None else RejectedExample(utterance.id, *rejection_reason)


def check_vocabulary(vocabulary: Vocabulary, texts: Sequence[str]) -> dict[str, int]:
    """How often characters outside the vocabulary occur; they are trained as unknown.

    Args:
        vocabulary: What the labels are made of.
        texts: Cleaned training texts.

    Raises:
        DataError: So many that the vocabulary cannot be meant for this data.
    """
    unknown, total = count_unknown(vocabulary, texts)
    if sum(unknown.values()) > UNKNOWN_LIMIT * max(1, total):
        shown = " ".join(sorted(unknown)[:30])
        raise DataError(
            f"The vocabulary lacks characters of this data: {shown}",
            remedy=fix_unknown(vocabulary, texts),
        )
    return unknown

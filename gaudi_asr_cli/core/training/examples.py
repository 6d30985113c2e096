"""Selection of training examples; every utterance that is skipped has a reason."""

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
"""Above this share of unknown characters the vocabulary was made for other data."""


@dataclass(frozen=True, slots=True)
class RejectedExample:
    """An utterance that is not trained on; equal causes have equal `reason` strings."""

    utterance_id: str
    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Examples:
    """Utterances with their labels, and those that were skipped."""

    utterances: tuple[Utterance, ...]
    labels: tuple[Labels, ...]
    skipped: tuple[RejectedExample, ...] = ()

    @property
    def reasons(self) -> dict[str, int]:
        """Number of skipped examples by reason, most common first."""
        return dict(Counter(one.reason for one in self.skipped).most_common())


@dataclass(frozen=True, slots=True)
class Limits:
    """Durations that are trained on, in seconds; no upper limit where `max_s` is None."""

    min_s: float = 0.0
    max_s: float | None = None


def select_examples(
    utterances: Iterable[Utterance],
    rules: TextRules,
    task: Task,
    limits: Limits,
) -> Examples:
    """Label the utterances that the task can train on; skip the others, each with its reason.

    Raises:
        DataError: Nothing is left to train on.
    """
    kept: list[Utterance] = []
    labels: list[Labels] = []
    skipped: list[RejectedExample] = []
    for utterance in utterances:
        tokens = task.label(rules.clean(utterance.text or ""))
        example = _skip(utterance, tokens, task, limits)
        if example is not None:
            skipped.append(example)
        else:
            kept.append(utterance)
            labels.append(tokens)
    if not kept:
        raise _nothing_left(skipped)
    return Examples(tuple(kept), tuple(labels), tuple(skipped))


def _nothing_left(skipped: Sequence[RejectedExample]) -> DataError:
    """Return the error that names each reason with its first utterances: no run lists them."""
    reasons = "; ".join(
        f"{reason} ({name_some([one for one in skipped if one.reason == reason])})"
        for reason in sorted({one.reason for one in skipped})
    )
    return DataError(
        f"Nothing is left to train on: {reasons or 'no utterance at all'}.",
        remedy="Split or fix these, or change the limits (--max-seconds, --min-seconds). "
        "`gaudi-asr check DATA` inspects all files.",
    )


def name_some(skipped: Sequence[RejectedExample]) -> str:
    """Return the ids of the first five skipped examples, with their details."""
    shown = [
        f"{one.utterance_id} ({one.detail})" if one.detail else one.utterance_id
        for one in skipped[:5]
    ]
    return ", ".join([*shown, "..."] if len(skipped) > len(shown) else shown)


def _skip(
    utterance: Utterance, tokens: Labels, task: Task, limits: Limits
) -> RejectedExample | None:
    duration_s = utterance.audio.duration_s or 0.0
    if not tokens:
        return RejectedExample(utterance.id, "no text")
    if duration_s < limits.min_s:
        return RejectedExample(utterance.id, "too short", f"{duration_s:.2f} s")
    if limits.max_s is not None and duration_s > limits.max_s:
        return RejectedExample(utterance.id, "too long", f"{duration_s:.2f} s")
    reason = task.rejection_reason(duration_s, tokens)
    return None if reason is None else RejectedExample(utterance.id, *reason)


def check_vocabulary(vocabulary: Vocabulary, texts: Sequence[str]) -> dict[str, int]:
    """Count the characters outside the vocabulary, which are trained as the unknown token.

    Args:
        vocabulary: The tokens of the labels.
        texts: Cleaned training texts.

    Raises:
        DataError: More than `UNKNOWN_LIMIT` of the characters are unknown.
    """
    unknown, total = count_unknown(vocabulary, texts)
    if sum(unknown.values()) > UNKNOWN_LIMIT * max(1, total):
        shown = " ".join(sorted(unknown)[:30])
        raise DataError(
            f"The vocabulary lacks characters of this data: {shown}",
            remedy=fix_unknown(vocabulary, texts),
        )
    return unknown

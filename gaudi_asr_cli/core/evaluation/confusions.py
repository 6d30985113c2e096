"""Count the most frequent substitutions, deletions and insertions of words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from gaudi_asr_cli.core.evaluation.counts import align

ConfusionKind = Literal["substitution", "deletion", "insertion"]


class ComparedTexts(Protocol):
    """A normalised reference and hypothesis."""

    @property
    def reference(self) -> str: ...

    @property
    def hypothesis(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Confusion:
    """A word error and its count; None on the side that has no word."""

    kind: ConfusionKind
    reference: str | None
    hypothesis: str | None
    count: int


def count_confusions(scored: Sequence[ComparedTexts], limit: int = 20) -> tuple[Confusion, ...]:
    """Return the most frequent errors over all utterances, of all three kinds, in that order."""
    errors = Counter(error for utterance in scored for error in _find_errors(utterance))
    ranked = sorted(errors.items(), key=lambda item: (-item[1], item[0][0], str(item[0][1:])))
    return tuple(Confusion(*error, count) for error, count in ranked[:limit])


def _find_errors(
    utterance: ComparedTexts,
) -> Iterator[tuple[ConfusionKind, str | None, str | None]]:
    reference, hypothesis = utterance.reference.split(), utterance.hypothesis.split()
    for chunk in align(reference, hypothesis).alignments[0]:
        expected = reference[chunk.ref_start_idx : chunk.ref_end_idx]
        recognised = hypothesis[chunk.hyp_start_idx : chunk.hyp_end_idx]
        if chunk.type == "substitute":
            yield from (("substitution", *pair) for pair in zip(expected, recognised, strict=True))
        elif chunk.type == "delete":
            yield from (("deletion", word, None) for word in expected)
        elif chunk.type == "insert":
            yield from (("insertion", None, word) for word in recognised)

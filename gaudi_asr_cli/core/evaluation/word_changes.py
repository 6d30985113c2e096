"""Which reference words a second hypothesis fixes and which it breaks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from gaudi_asr_cli.core.evaluation.counts import align

Direction = Literal["fixed", "broken"]


@dataclass(frozen=True, slots=True)
class TextTriple:
    """A reference and the hypotheses of A and B for it, normalised."""

    id: str
    reference: str
    a: str
    b: str


@dataclass(frozen=True, slots=True)
class WordChange:
    """A reference word that one side recognises and the other does not.

    `word` was fixed where only B has it, broken where only A has it; `instead` is what the other
    side has in its place, None for a deletion. `example` is the first utterance with it.
    """

    direction: Direction
    word: str
    instead: str | None
    count: int
    example: TextTriple


@dataclass(frozen=True, slots=True)
class WordChanges:
    """Words that B fixes and breaks, and the insertions of both; `most` is by count."""

    fixed: int
    broken: int
    insertions_a: int
    insertions_b: int
    most_fixed: tuple[WordChange, ...]
    most_broken: tuple[WordChange, ...]


def find_word_changes(triples: Sequence[TextTriple], limit: int = 20) -> WordChanges:
    """Return the words that B fixes and breaks, by minimal alignments with the reference."""
    insertions_a = insertions_b = 0
    found: dict[tuple[Direction, str, str | None], tuple[int, TextTriple]] = {}
    for triple in triples:
        reference = triple.reference.split()
        in_a, inserted_a = align_words(reference, triple.a.split())
        in_b, inserted_b = align_words(reference, triple.b.split())
        insertions_a += inserted_a
        insertions_b += inserted_b
        for key in _compare_words(reference, in_a, in_b):
            count, example = found.get(key, (0, triple))
            found[key] = (count + 1, example)
    changes = [WordChange(*key, count, example) for key, (count, example) in found.items()]
    changes.sort(key=lambda one: (-one.count, one.word, one.instead or ""))
    fixed = [one for one in changes if one.direction == "fixed"]
    broken = [one for one in changes if one.direction == "broken"]
    return WordChanges(
        fixed=sum(one.count for one in fixed),
        broken=sum(one.count for one in broken),
        insertions_a=insertions_a,
        insertions_b=insertions_b,
        most_fixed=tuple(fixed[:limit]),
        most_broken=tuple(broken[:limit]),
    )


def align_words(
    reference: Sequence[str], hypothesis: Sequence[str]
) -> tuple[list[str | None], int]:
    """Return the hypothesis word in the place of each reference word, and the other words' number.

    A deleted word has None in its place.
    """
    placed: list[str | None] = [None] * len(reference)
    inserted = 0
    for chunk in align(reference, hypothesis).alignments[0]:
        words = hypothesis[chunk.hyp_start_idx : chunk.hyp_end_idx]
        if chunk.type == "insert":
            inserted += len(words)
        elif chunk.type != "delete":
            placed[chunk.ref_start_idx : chunk.ref_end_idx] = words
    return placed, inserted


def _compare_words(
    reference: Sequence[str], in_a: Sequence[str | None], in_b: Sequence[str | None]
) -> Iterator[tuple[Direction, str, str | None]]:
    for word, word_a, word_b in zip(reference, in_a, in_b, strict=True):
        if word_b == word != word_a:
            yield "fixed", word, word_a
        elif word_a == word != word_b:
            yield "broken", word, word_b

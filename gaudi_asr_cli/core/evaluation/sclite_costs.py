"""Error counts of the alignment that NIST's sclite chooses, for many pairs at once.

sclite weighs a substitution 4, a deletion and an insertion 3 each, so that its alignment can have
more errors than the minimum: three substitutions cost as much as a hit with two deletions and two
insertions. Among alignments of equal cost it prefers, from the end of both texts, a pair of words
to an insertion, and an insertion to a deletion (seen on 3,000 random pairs, sctk 2.4.10).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gaudi_asr_cli.core.records import ErrorCounts

SUBSTITUTION_COST, GAP_COST = 4, 3
_PAIRS_AT_ONCE = 1024

Words = Sequence[str]
Integers = NDArray[np.int32]


def count_sclite_errors(pairs: Sequence[tuple[Words, Words]]) -> list[ErrorCounts]:
    """Count the errors of each pair of reference and hypothesis under sclite's costs."""
    counts = [ErrorCounts()] * len(pairs)
    # Pairs of similar length together, since all of a batch are padded to its longest.
    order = sorted(range(len(pairs)), key=lambda index: [len(side) for side in pairs[index]])
    for start in range(0, len(order), _PAIRS_AT_ONCE):
        members = order[start : start + _PAIRS_AT_ONCE]
        for index, one in zip(members, _count_batch([pairs[i] for i in members]), strict=True):
            counts[index] = one
    return counts


def _count_batch(pairs: Sequence[tuple[Words, Words]]) -> list[ErrorCounts]:
    numbers: dict[str, int] = {}
    references = _number_words([pair[0] for pair in pairs], numbers)
    hypotheses = _number_words([pair[1] for pair in pairs], numbers)
    lengths = np.array([[len(side) for side in pair] for pair in pairs])
    found = _fill_table(references, hypotheses, lengths)
    counts = []
    for (substitutions, deletions, insertions), length in zip(found, lengths[:, 0], strict=True):
        hits = int(length) - int(substitutions) - int(deletions)
        counts.append(ErrorCounts(hits, int(substitutions), int(deletions), int(insertions)))
    return counts


def _number_words(texts: Sequence[Words], numbers: dict[str, int]) -> Integers:
    """Return the words as numbers, int32 (B, longest), padded with -1."""
    rows = np.full((len(texts), max(map(len, texts))), -1, dtype=np.int32)
    for row, words in zip(rows, texts, strict=True):
        row[: len(words)] = [numbers.setdefault(word, len(numbers)) for word in words]
    return rows


def _fill_table(
    references: Integers, hypotheses: Integers, lengths: NDArray[np.int64]
) -> NDArray[np.int32]:
    """Return substitutions, deletions and insertions, int32 (B, 3).

    The table of costs is filled a row, which is a reference word, at a time. Its cells are int32
    (hypothesis words + 1, B, 4): the cost and the three counts of the chosen alignment.
    """
    batch, columns = len(references), hypotheses.shape[1] + 1
    diagonal = np.array([SUBSTITUTION_COST, 1, 0, 0], dtype=np.int32)
    deletion = np.array([GAP_COST, 0, 1, 0], dtype=np.int32)
    insertion = np.array([GAP_COST, 0, 0, 1], dtype=np.int32)
    row = np.arange(columns, dtype=np.int32)[:, None, None] * insertion + np.zeros(
        (columns, batch, 4), dtype=np.int32
    )
    ends = np.zeros((batch, 4), dtype=np.int32)
    _keep_ends(ends, row, lengths, 0)
    for number, words in enumerate(references.T, start=1):
        differs = (words[None, :] != hypotheses.T)[:, :, None]  # (hypothesis words, B, 1)
        paired, deleted = row[:-1] + differs * diagonal, row + deletion
        row = np.empty_like(row)
        row[0] = deleted[0]
        for column in range(1, columns):
            best, inserted = paired[column - 1], row[column - 1] + insertion
            best = np.where(inserted[:, :1] < best[:, :1], inserted, best)
            gap = deleted[column]
            row[column] = np.where(gap[:, :1] < best[:, :1], gap, best)
        _keep_ends(ends, row, lengths, number)
    return ends[:, 1:]


def _keep_ends(
    ends: NDArray[np.int32], row: NDArray[np.int32], lengths: NDArray[np.int64], number: int
) -> None:
    """Copy the cells of the pairs whose reference has `number` words into `ends` (B, 4)."""
    members = np.flatnonzero(lengths[:, 0] == number)
    ends[members] = row[lengths[members, 1], members]

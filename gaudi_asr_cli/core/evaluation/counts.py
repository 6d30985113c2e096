"""Hits, substitutions, deletions and insertions between two sequences."""

from __future__ import annotations

from collections.abc import Sequence

import jiwer

from gaudi_asr_cli.core.records import ErrorCounts


def count_errors(reference: Sequence[str], hypothesis: Sequence[str]) -> ErrorCounts:
    """Count the errors of a minimal alignment of units: words, or a string's characters.

    An empty reference counts every unit of the hypothesis as an insertion, an empty hypothesis
    every unit of the reference as a deletion.
    """
    output = align(reference, hypothesis)
    return ErrorCounts(output.hits, output.substitutions, output.deletions, output.insertions)


def align(reference: Sequence[str], hypothesis: Sequence[str]) -> jiwer.WordOutput:
    """Align one pair of sequences with jiwer, without any transform of the units."""
    return jiwer.process_words([list(reference)], [list(hypothesis)], _as_they_are, _as_they_are)


def _as_they_are(sequences: list[list[str]]) -> list[list[str]]:
    return sequences

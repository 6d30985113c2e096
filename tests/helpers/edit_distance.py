"""An independent implementation of the edit distance, to check the counts of jiwer."""

from __future__ import annotations

from collections.abc import Sequence


def count_edits(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """Return the minimum number of edits; Wagner and Fischer's table, row by row."""
    row = list(range(len(hypothesis) + 1))
    for i, expected in enumerate(reference, start=1):
        corner, row[0] = row[0], i
        for j, recognised in enumerate(hypothesis, start=1):
            substituted = corner + (expected != recognised)
            corner, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, substituted)
    return row[-1]

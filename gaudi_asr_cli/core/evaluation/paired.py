"""Whether two systems differ on the same utterances: a paired bootstrap and a permutation test.

Both resample what is independent, the speakers where enough are known. Sources: Bisani and Ney
2004, "Bootstrap estimates for confidence intervals in ASR performance evaluation"; for the
permutation of the labels A and B within a pair, Gillick and Cox 1989 and Pitman 1937.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

MIN_PAIRED_SPEAKERS = 6
"""With fewer speakers utterances are resampled: of 5, exchanging labels can show nothing below
p = 2/32."""
REPLICATES = 2000
PERMUTATIONS = 10_000
EXACT_GROUPS = 12
"""Up to this number of groups that differ, all exchanges are enumerated."""

_CELLS_AT_ONCE = 4_000_000  # random numbers held in memory at a time

Resampled = Literal["speakers", "utterances"]
Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PairedCounts:
    """Errors of A and B on the same references, each int64 (N,), and the group of each (N,)."""

    errors_a: Counts
    errors_b: Counts
    words: Counts
    groups: Counts
    resampled: Resampled

    def select(self, members: NDArray[np.intp]) -> PairedCounts:
        """Return the counts of some utterances."""
        return PairedCounts(
            self.errors_a[members],
            self.errors_b[members],
            self.words[members],
            self.groups[members],
            self.resampled,
        )

    def by_utterance(self) -> PairedCounts:
        """Return the same counts with each utterance as a group of its own."""
        groups = np.arange(len(self.words))
        return PairedCounts(self.errors_a, self.errors_b, self.words, groups, "utterances")


@dataclass(frozen=True, slots=True)
class PairedTest:
    """Error rates of A and B, and their difference: that of B minus that of A.

    `low` and `high` bound the difference at the given level; `p` is two-sided, for no difference,
    and None where the utterances are not known, as of saved benchmarks.
    """

    rate_a: float
    rate_b: float
    difference: float
    low: float
    high: float
    p: float | None
    utterances: int
    words: int
    groups: int
    resampled: Resampled


def group_utterances(speakers: Sequence[str | None]) -> tuple[Counts, Resampled]:
    """Return the group of each utterance, int64 (N,): its speaker where enough are known.

    Utterances without a speaker are groups of their own.
    """
    known = {speaker for speaker in speakers if speaker is not None}
    if len(known) < MIN_PAIRED_SPEAKERS:
        return np.arange(len(speakers)), "utterances"
    numbers = {speaker: number for number, speaker in enumerate(sorted(known))}
    groups = [
        len(numbers) + index if speaker is None else numbers[speaker]
        for index, speaker in enumerate(speakers)
    ]
    return np.asarray(groups, dtype=np.int64), "speakers"


def compare_paired(
    counts: PairedCounts,
    *,
    level: float = 0.95,
    replicates: int = REPLICATES,
    permutations: int = PERMUTATIONS,
    seed: int = 42,
) -> PairedTest:
    """Test whether two error rates on the same utterances differ.

    Args:
        counts: At least one utterance.
        level: Share of the bootstrap replicates between the bounds.
        replicates: Number of bootstrap replicates, drawn with replacement.
        permutations: Number of random exchanges of the labels; few groups are enumerated instead.
        seed: The same seed gives the same result.
    """
    errors_a, errors_b, words = _sum_groups(counts)
    total = max(int(words.sum()), 1)
    draws = _bootstrap(errors_b - errors_a, words, replicates, np.random.default_rng(seed))
    outside = (1 - level) / 2
    low, high = np.quantile(draws, [outside, 1 - outside])
    rate_a, rate_b = int(errors_a.sum()) / total, int(errors_b.sum()) / total
    return PairedTest(
        rate_a=rate_a,
        rate_b=rate_b,
        difference=rate_b - rate_a,
        low=float(low),
        high=float(high),
        p=permutation_p(counts, permutations=permutations, seed=seed),
        utterances=len(counts.words),
        words=int(words.sum()),
        groups=len(words),
        resampled=counts.resampled,
    )


def permutation_p(
    counts: PairedCounts,
    shift: float = 0.0,
    *,
    permutations: int = PERMUTATIONS,
    seed: int = 42,
) -> float:
    """Return the two-sided p value for a difference of `shift` between the rates of B and A.

    Within each group the labels A and B are exchanged or not; the statistic is the difference in
    errors. The p value counts the observed labelling, so that it is never 0.

    Args:
        counts: At least one utterance.
        shift: A difference in rates, as a fraction.
        permutations: Number of random exchanges.
        seed: The same seed gives the same value.
    """
    errors_a, errors_b, words = _sum_groups(counts)
    differences = (errors_b - errors_a) - shift * words
    differences = differences[differences != 0]
    if not len(differences):
        return 1.0
    observed = abs(differences.sum()) * (1 - 1e-12)  # a tie stays one after rounding
    if len(differences) <= EXACT_GROUPS:
        return float(np.mean(np.abs(_all_signs(len(differences)) @ differences) >= observed))
    generator = np.random.default_rng(seed)
    extreme = 0
    rows = max(1, _CELLS_AT_ONCE // len(differences))
    for start in range(0, permutations, rows):
        size = (min(rows, permutations - start), len(differences))
        exchanged = generator.integers(0, 2, size=size, dtype=np.int8).astype(np.float32)
        sums = differences.sum() - 2 * (exchanged @ differences.astype(np.float32))
        # Single precision is exact for whole errors, and errs by less than this with a shift.
        extreme += int((np.abs(sums) >= observed - 1e-3).sum())
    return (extreme + 1) / (permutations + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values adjusted for their number by Holm's method (1979), in the same order."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def _bootstrap(
    differences: Counts, words: Counts, replicates: int, generator: np.random.Generator
) -> Floats:
    """Return the difference in rates of each replicate, float64 (replicates,)."""
    groups = len(words)
    rows = max(1, _CELLS_AT_ONCE // groups)
    rates: list[Floats] = []
    for start in range(0, replicates, rows):
        drawn = generator.integers(0, groups, size=(min(rows, replicates - start), groups))
        lengths = np.maximum(words[drawn].sum(axis=1), 1)
        rates.append(np.asarray(differences[drawn].sum(axis=1) / lengths, dtype=np.float64))
    return np.concatenate(rates)


def _sum_groups(counts: PairedCounts) -> tuple[Counts, Counts, Counts]:
    """Return errors of A, errors of B and reference words of each group, int64 (groups,)."""
    _, group = np.unique(counts.groups, return_inverse=True)
    columns = []
    for values in (counts.errors_a, counts.errors_b, counts.words):
        sums = np.zeros(int(group.max()) + 1, dtype=np.int64)
        np.add.at(sums, group, values)
        columns.append(sums)
    return columns[0], columns[1], columns[2]


def _all_signs(groups: int) -> Floats:
    """Return every choice of signs, float64 (2**groups, groups)."""
    numbers = np.arange(2**groups)[:, None] >> np.arange(groups)
    return np.asarray(1.0 - 2.0 * (numbers & 1), dtype=np.float64)

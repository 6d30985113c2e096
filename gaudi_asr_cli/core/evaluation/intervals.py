"""Confidence interval of a word error rate: a percentile bootstrap over speakers or utterances.

Errors of one speaker are correlated, so resampling utterances would give too narrow an interval:
whole speakers are resampled where enough are known. Source: Bisani and Ney 2004, "Bootstrap
estimates for confidence intervals in ASR performance evaluation".
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gaudi_asr_cli.core.records import ScoredUtterance

MIN_SPEAKERS = 5
"""With fewer speakers than this, utterances are resampled instead of speakers."""

_DRAWS_AT_ONCE = 4_000_000  # indices held in memory at a time: 32 MB


def bootstrap_wer(
    scored: Sequence[ScoredUtterance],
    *,
    level: float = 0.95,
    replicates: int = 1000,
    seed: int = 42,
) -> tuple[float, float]:
    """Return lower and upper bound of the word error rate; (0, 0) without utterances.

    Args:
        scored: Utterances with their word counts.
        level: Share of the replicates between the bounds.
        replicates: Number of bootstrap replicates, drawn with replacement.
        seed: The same seed gives the same bounds.
    """
    if not scored:
        return 0.0, 0.0
    errors, lengths = _sum_groups(scored)
    groups = len(errors)
    generator = np.random.default_rng(seed)
    rows = max(1, _DRAWS_AT_ONCE // groups)
    rates: list[NDArray[np.float64]] = []
    for start in range(0, replicates, rows):
        drawn = generator.integers(0, groups, size=(min(rows, replicates - start), groups))
        # Without a reference word each insertion counts one, as in ErrorCounts.rate.
        rates.append(errors[drawn].sum(axis=1) / np.maximum(lengths[drawn].sum(axis=1), 1))
    outside = (1 - level) / 2
    low, high = np.quantile(np.concatenate(rates), [outside, 1 - outside])
    return float(low), float(high)


def _sum_groups(
    scored: Sequence[ScoredUtterance],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return errors and reference words of each group that is drawn as a whole, int64 (groups,)."""
    labels = _group_labels(scored)
    _, group = np.unique(np.asarray(labels), return_inverse=True)
    errors = np.zeros(group.max() + 1, dtype=np.int64)
    lengths = np.zeros_like(errors)
    np.add.at(errors, group, [utterance.words.errors for utterance in scored])
    np.add.at(lengths, group, [utterance.words.reference_length for utterance in scored])
    return errors, lengths


def _group_labels(scored: Sequence[ScoredUtterance]) -> list[str]:
    """Return each utterance's group: its speaker where enough are known, else the utterance."""
    speakers = {utterance.speaker for utterance in scored} - {None}
    if len(speakers) < MIN_SPEAKERS:
        return [f"utterance {index}" for index in range(len(scored))]
    return [
        f"utterance {index}" if utterance.speaker is None else f"speaker {utterance.speaker}"
        for index, utterance in enumerate(scored)
    ]

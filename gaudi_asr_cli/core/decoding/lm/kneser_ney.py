"""Estimation of n-gram models with interpolated modified Kneser-Ney smoothing.

Sources: Chen and Goodman 1998, "An empirical study of smoothing techniques for language modeling";
Heafield et al. 2013, "Scalable modified Kneser-Ney language model estimation", whose conventions
(one `<s>`, unigrams interpolated with the uniform distribution, `<unk>` in it) these are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gaudi_asr_cli.core.decoding.lm.ngram_model import (
    BEGIN,
    END,
    UNKNOWN,
    NgramModel,
    NgramTable,
    build_ngram_model,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers = NDArray[np.int32]
    Counts = NDArray[np.int64]
    Doubles = NDArray[np.float64]

FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)
"""Discounts where the text has too few n-grams of some count, as lmplz's --discount_fallback."""
BEGIN_LOG10 = -99.0
"""Probability of `<s>`, which is never predicted, in SRILM's convention."""
BLOCK_WORDS = 2_000_000
"""Words whose n-grams are sorted at once; the memory is that of the distinct n-grams and this."""
_UNKNOWN, _BEGIN, _END = 0, 1, 2


@dataclass(frozen=True, slots=True)
class NgramCounts:
    """Distinct n-grams of one order, int32 (M, order), and a count of each, int64 (M,)."""

    ids: Integers
    counts: Counts


@dataclass(frozen=True, slots=True)
class Estimate:
    """A model; `fallbacks` are orders whose discounts could not be computed from the text."""

    model: NgramModel
    sentences: int
    words: int
    fallbacks: tuple[int, ...]


def estimate_kneser_ney(
    sentences: Iterable[Sequence[str]],
    order: int,
    *,
    min_counts: Sequence[int] = (),
    vocabulary: Iterable[str] | None = None,
) -> Estimate:
    """Estimate a model of sentences of words.

    Args:
        sentences: Read once.
        order: Length of the longest n-grams, from 1.
        min_counts: Fewest occurrences of an n-gram of order 2, 3 and so on that is kept; the last
            holds for the orders above. An n-gram whose context is not kept is not kept either.
        vocabulary: Words that are known; another word counts as `<unk>`. None knows all.
    """
    reader = _CorpusReader(order, vocabulary)
    raw = reader.count(sentences)
    adjusted = _adjust(raw)
    kept = _prune(raw, adjusted, min_counts)
    tables, fallbacks = _smooth(adjusted, kept, len(reader.ids))
    return Estimate(
        build_ngram_model(list(reader.ids), tables), reader.sentences, reader.words, fallbacks
    )


class _CorpusReader:
    """Counts the n-grams of all orders, block by block."""

    def __init__(self, order: int, vocabulary: Iterable[str] | None) -> None:
        self.ids = {UNKNOWN: _UNKNOWN, BEGIN: _BEGIN, END: _END}
        self._closed = vocabulary is not None
        for word in sorted(vocabulary or ()):
            self.ids.setdefault(word, len(self.ids))
        self._order = order
        self.sentences = self.words = 0

    def count(self, sentences: Iterable[Sequence[str]]) -> list[NgramCounts]:
        """Return the raw counts of each order; an n-gram may begin with `<s>` or end in `</s>`.

        Orders for which every sentence is too short are left out.
        """
        totals = [
            NgramCounts(np.zeros((0, order), np.int32), np.zeros(0, np.int64))
            for order in range(1, self._order + 1)
        ]
        for block in self._blocks(sentences):
            totals = [
                merge_counts(total, _count_windows(block, order))
                for order, total in enumerate(totals, 1)
            ]
        return [total for order, total in enumerate(totals, 1) if order == 1 or len(total.ids)]

    def _blocks(self, sentences: Iterable[Sequence[str]]) -> Iterator[Integers]:
        iterator = iter(sentences)
        while True:
            block: list[int] = []
            for sentence in iterator:
                block += (_BEGIN, *map(self._find_id, sentence), _END)
                self.sentences, self.words = self.sentences + 1, self.words + len(sentence)
                if len(block) >= BLOCK_WORDS:
                    break
            if not block:
                return
            yield np.array(block, np.int32)

    def _find_id(self, word: str) -> int:
        if self._closed:
            return self.ids.get(word, _UNKNOWN)
        return self.ids.setdefault(word, len(self.ids))


def _count_windows(block: Integers, order: int) -> NgramCounts:
    """Count the n-grams of one order that lie inside one sentence of a block."""
    if len(block) < order:
        return NgramCounts(np.zeros((0, order), np.int32), np.zeros(0, np.int64))
    windows = np.lib.stride_tricks.sliding_window_view(block, order)
    inside = (windows[:, 1:] != _BEGIN).all(axis=1)
    rows = np.ascontiguousarray(windows[inside])
    return sum_rows(rows, np.ones(len(rows), np.int64))


def merge_counts(first: NgramCounts, second: NgramCounts) -> NgramCounts:
    """Add the counts of the same n-grams."""
    return sum_rows(
        np.concatenate([first.ids, second.ids]), np.concatenate([first.counts, second.counts])
    )


def sum_rows(rows: Integers, weights: Counts) -> NgramCounts:
    """Return the distinct rows, sorted from the left, and the sum of the weights of each."""
    if not len(rows):
        return NgramCounts(rows, weights)
    sorting = np.lexsort(rows.T[::-1])
    ordered = rows[sorting]
    starts = np.flatnonzero(np.append(True, (ordered[1:] != ordered[:-1]).any(axis=1)))
    return NgramCounts(ordered[starts], np.add.reduceat(weights[sorting], starts))


def _adjust(raw: Sequence[NgramCounts]) -> list[NgramCounts]:
    """Replace counts below the highest order by those of distinct words to the left.

    Nothing stands to the left of `<s>`: what begins with it keeps its count. All arrays stay in
    the order of the raw ones.
    """
    adjusted = [raw[-1]]
    for lower, upper in zip(reversed(raw[:-1]), reversed(raw[1:]), strict=True):
        extensions = sum_rows(
            np.ascontiguousarray(upper.ids[:, 1:]), np.ones(len(upper.ids), np.int64)
        )
        begins = lower.ids[:, 0] == _BEGIN
        counts = lower.counts.copy()
        # Both are sorted, and what does not begin a sentence is the end of a longer n-gram.
        counts[~begins] = extensions.counts
        adjusted.insert(0, NgramCounts(lower.ids, counts))
    return adjusted


def _prune(
    raw: Sequence[NgramCounts], adjusted: Sequence[NgramCounts], min_counts: Sequence[int]
) -> list[NDArray[np.bool_]]:
    """Return which n-grams of each order are kept; all words are."""
    kept = [np.ones(len(raw[0].ids), np.bool_)]
    for order in range(2, len(raw) + 1):
        least = min_counts[min(order - 2, len(min_counts) - 1)] if min_counts else 1
        above = raw[order - 1].counts >= least
        contexts, _ = _contexts(adjusted[order - 1].ids)
        below = _positions(raw[order - 2].ids, adjusted[order - 1].ids[contexts, :-1])
        spread = np.repeat(kept[-1][below], np.diff(np.append(contexts, len(above))))
        kept.append(above & spread)
    return kept


def _contexts(ids: Integers) -> tuple[Counts, Counts]:
    """Return the first row of each context of sorted n-grams, and the context of each row."""
    if ids.shape[1] == 1:
        starts = np.zeros(1, np.int64)
    else:
        changes = (ids[1:, :-1] != ids[:-1, :-1]).any(axis=1)
        starts = np.flatnonzero(np.append(True, changes))
    numbers = np.zeros(len(ids), np.int64)
    numbers[starts[1:]] = 1
    return starts, np.cumsum(numbers)


def _positions(ids: Integers, wanted: Integers) -> Counts:
    """Return the row of each wanted n-gram in sorted n-grams that hold all of them."""
    both = np.concatenate([ids, wanted])
    is_wanted = np.arange(len(both)) >= len(ids)
    sorting = np.lexsort([is_wanted, *both.T[::-1]])
    rows = np.cumsum(~is_wanted[sorting]) - 1
    found = np.empty(len(both), np.int64)
    found[sorting] = rows
    return found[len(ids) :]


def compute_discounts(counts: Counts) -> tuple[float, float, float] | None:
    """Return the discounts of counts 1, 2 and more; None if some count is too rare for them."""
    n = [int((counts == count).sum()) for count in (1, 2, 3, 4)]
    if not all(n):
        return None
    y = n[0] / (n[0] + 2 * n[1])
    one, two, more = (i - (i + 1) * y * n[i] / n[i - 1] for i in (1, 2, 3))
    return (one, two, more) if min(one, two, more) >= 0 else None


def _smooth(
    adjusted: Sequence[NgramCounts], kept: Sequence[NDArray[np.bool_]], vocabulary: int
) -> tuple[list[NgramTable], tuple[int, ...]]:
    """Return the tables of probabilities and back-off weights, and the orders that fell back."""
    discounts, fallbacks = _choose_discounts(adjusted)
    tables: list[NgramTable] = []
    probabilities, rows = _unigrams(adjusted[0], discounts[0], vocabulary)
    kept_rows = np.ones(vocabulary, np.bool_)
    for counted, keep, chosen in zip(adjusted[1:], kept[1:], discounts[1:], strict=True):
        shares, weights = _discount(counted, keep, chosen)
        contexts, numbers = _contexts(counted.ids)
        lower = _positions(rows, counted.ids[:, 1:])
        interpolated = shares + weights[numbers] * probabilities[lower]
        # The weight of a context is written beside the context itself.
        backoffs = np.ones(len(rows))
        backoffs[_positions(rows, counted.ids[contexts, :-1])] = weights
        tables.append(_table(rows, probabilities, backoffs, kept_rows))
        rows, probabilities, kept_rows = counted.ids, interpolated, keep
    tables.append(_table(rows, probabilities, np.ones(len(rows)), kept_rows))
    return tables, fallbacks


def _choose_discounts(
    adjusted: Sequence[NgramCounts],
) -> tuple[list[tuple[float, float, float]], tuple[int, ...]]:
    """Return the discounts of each order, and the orders that fell back."""
    found = [compute_discounts(one.counts[one.ids[:, -1] != _BEGIN]) for one in adjusted]
    fallbacks = tuple(order for order, one in enumerate(found, 1) if one is None)
    return [FALLBACK_DISCOUNTS if one is None else one for one in found], fallbacks


def _table(
    rows: Integers, probabilities: Doubles, backoffs: Doubles, kept: NDArray[np.bool_]
) -> NgramTable:
    log10_probs = np.log10(np.maximum(probabilities, 1e-99))
    log10_probs[(rows[:, -1] == _BEGIN)] = BEGIN_LOG10
    return NgramTable(
        rows[kept],
        log10_probs[kept].astype(np.float32),
        np.log10(np.maximum(backoffs[kept], 1e-99)).astype(np.float32),
    )


def _unigrams(
    counted: NgramCounts, discounts: Sequence[float], vocabulary: int
) -> tuple[Doubles, Integers]:
    """Return the probability of every word, and its row: the id itself."""
    counts = np.zeros(vocabulary, np.int64)
    counts[counted.ids[:, 0]] = counted.counts
    counts[_BEGIN] = 0
    total = counts.sum()
    taken = np.asarray([0.0, *discounts])[np.minimum(counts, 3)]
    # <s> is never predicted, so it has no share of the uniform distribution.
    probabilities = (counts - taken) / total + taken.sum() / total / (vocabulary - 1)
    return probabilities, np.arange(vocabulary, dtype=np.int32)[:, None]


def _discount(
    counted: NgramCounts, keep: NDArray[np.bool_], discounts: Sequence[float]
) -> tuple[Doubles, Doubles]:
    """Return the share of each n-gram in its context, and the weight of each context.

    What is not kept gives all its count to the weight.
    """
    starts, numbers = _contexts(counted.ids)
    totals = np.add.reduceat(counted.counts, starts).astype(np.float64)
    taken = np.asarray([0.0, *discounts])[np.minimum(counted.counts, 3)]
    given = np.where(keep, taken, counted.counts)
    shares = (counted.counts - given) / totals[numbers]
    return shares, np.add.reduceat(given, starts) / totals

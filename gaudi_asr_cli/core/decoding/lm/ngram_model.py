"""A back-off n-gram model in memory: a trie in flat arrays, 20 bytes for each n-gram."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import log
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers = NDArray[np.int32]
    Floats = NDArray[np.float32]

BEGIN, END, UNKNOWN = "<s>", "</s>", "<unk>"
ROOT = 0
"""The node of the empty context."""
LN_10 = log(10.0)
UNSEEN_LOG10 = -10.0
"""Probability of an unknown word where the model has none (pyctcdecode's, and a usual penalty)."""


@dataclass(frozen=True)
class NgramModel:
    """A back-off model of `order`; node 0 is the empty n-gram, each other node an n-gram.

    Nodes of an order follow those of the order below, sorted by the node of their context and the
    id of their last word, so that the children of node n are `first[n]` up to `first[n + 1]`, with
    rising words.

    Args:
        order: Length of the longest n-grams.
        vocabulary: Words by id, `<s>`, `</s>` and `<unk>` included; word w is node w + 1.
        words: int32 (M,), the last word of each node; -1 of the root.
        first: int32 (M + 1,), the first child of each node.
        log10_probs: float32 (M,), log10 of the probability of the last word after the others.
        backoffs: float32 (M,), log10 of the back-off weight.
        suffixes: int32 (M,), the node of the longest n-gram that remains without the first word.
    """

    order: int
    vocabulary: tuple[str, ...]
    words: Integers
    first: Integers
    log10_probs: Floats
    backoffs: Floats
    suffixes: Integers

    @cached_property
    def ids(self) -> dict[str, int]:
        """Return the id of each word."""
        return {word: index for index, word in enumerate(self.vocabulary)}

    @property
    def unknown(self) -> int:
        """Return the id of the unknown word, -1 where the model has none."""
        return self.ids.get(UNKNOWN, -1)

    @property
    def ngrams(self) -> int:
        """Return the number of n-grams of all orders."""
        return len(self.words) - 1

    @cached_property
    def first_of_last_order(self) -> int:
        """Return the first node of the highest order: such a node has no children."""
        if self.order == 1:
            return 1
        below = ROOT + 1
        for _ in range(self.order - 1):
            below = int(self.first[below])
        return below

    def count_ngrams(self) -> tuple[int, ...]:
        """Return the number of n-grams of each order."""
        starts = [1]
        for _ in range(self.order - 1):
            starts.append(int(self.first[starts[-1]]))
        return tuple(int(one) for one in np.diff([*starts, len(self.words)]))

    @property
    def begin_state(self) -> int:
        """Return the state at the start of a sentence: the node of `<s>`."""
        return self.ids[BEGIN] + 1 if BEGIN in self.ids else ROOT

    def find_child(self, node: int, word: int) -> int:
        """Return the node of an n-gram continued by a word; -1 where there is none."""
        low, high = int(self.first[node]), int(self.first[node + 1])
        position = low + int(np.searchsorted(self.words[low:high], word))
        return position if position < high and self.words[position] == word else -1

    def score(self, state: int, word: int) -> tuple[float, int]:
        """Return log10 of the probability of a word after a state, and the state after it.

        A `word` of -1 has no place in the model: `UNSEEN_LOG10`, and an empty context after it.
        """
        if word < 0:
            return UNSEEN_LOG10, ROOT
        backed_off, node = 0.0, state
        while (child := self.find_child(node, word)) < 0 and node != ROOT:
            backed_off += float(self.backoffs[node])
            node = int(self.suffixes[node])
        if child < 0:
            return UNSEEN_LOG10, ROOT
        full = child >= self.first_of_last_order
        return (
            backed_off + float(self.log10_probs[child]),
            int(self.suffixes[child]) if full else child,
        )

    def find_word(self, word: str) -> int:
        """Return the id of a word, that of `<unk>` for an unknown one."""
        return self.ids.get(word, self.unknown)

    def score_sentence(self, words: Sequence[str]) -> float:
        """Return log10 of the probability of a sentence, its end included."""
        total, state = 0.0, self.begin_state
        for word in words:
            log10_prob, state = self.score(state, self.find_word(word))
            total += log10_prob
        return total + self.score(state, self.find_word(END))[0]


@dataclass(frozen=True, slots=True)
class NgramTable:
    """N-grams of one order: `ids` is int32 (M, order); probabilities and weights are log10."""

    ids: Integers
    log10_probs: Floats
    backoffs: Floats


class NgramError(ValueError):
    """An n-gram that the model cannot hold: `row` of the table of `order`."""

    def __init__(self, reason: str, order: int, row: int) -> None:
        super().__init__(reason)
        self.reason, self.order, self.row = reason, order, row


def build_ngram_model(vocabulary: Sequence[str], tables: Sequence[NgramTable]) -> NgramModel:
    """Build a model of the n-grams of each order, in any order of rows.

    Row i of the first table is the word with id i.

    Raises:
        NgramError: An n-gram occurs twice, or its context is not an n-gram of the order below.
    """
    builder = _TrieBuilder(len(vocabulary))
    for table in tables:
        builder.add(table)
    return builder.finish(vocabulary)


class _TrieBuilder:
    """Appends the n-grams of one order after another; keys are context x vocabulary + word."""

    def __init__(self, vocabulary: int) -> None:
        self._size = vocabulary
        self._order = 0
        self._keys = np.zeros(0, np.int64)  # key of node n is at n - 1; rising
        self._suffixes = np.zeros(1, np.int32)
        self._log10_probs = [np.zeros(1, np.float32)]
        self._backoffs = [np.zeros(1, np.float32)]

    def add(self, table: NgramTable) -> None:
        self._order += 1
        contexts, missing = self._walk(table.ids[:, :-1])
        if missing.any():
            row = int(np.argmax(missing))
            raise NgramError("its context is not among the shorter n-grams", self._order, row)
        keys = contexts.astype(np.int64) * self._size + table.ids[:, -1]
        sorting = np.argsort(keys, kind="stable")
        repeated = np.flatnonzero(np.diff(keys[sorting]) == 0)
        if len(repeated):
            row = int(sorting[repeated[0] + 1])
            raise NgramError("it occurs twice", self._order, row)
        suffixes = self._find_suffixes(table.ids[sorting])
        self._keys = np.concatenate([self._keys, keys[sorting]])
        self._suffixes = np.concatenate([self._suffixes, suffixes])
        self._log10_probs.append(table.log10_probs[sorting])
        self._backoffs.append(table.backoffs[sorting])

    def _walk(self, ids: Integers) -> tuple[Integers, NDArray[np.bool_]]:
        """Return the node of each row, and whether there is none."""
        nodes = np.zeros(len(ids), np.int64)
        missing = np.zeros(len(ids), np.bool_)
        for column in range(ids.shape[1]):
            keys = nodes * self._size + ids[:, column]
            positions = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
            missing |= self._keys[positions] != keys
            nodes = np.where(missing, 0, positions + 1)
        return nodes.astype(np.int32), missing

    def _find_suffixes(self, ids: Integers) -> Integers:
        """Return the node of each row without its first word, or without more of them."""
        nodes = np.zeros(len(ids), np.int32)
        open_rows = np.arange(len(ids))
        for start in range(1, ids.shape[1]):
            found, missing = self._walk(ids[open_rows, start:])
            nodes[open_rows] = np.where(missing, 0, found)
            open_rows = open_rows[missing]
            if not len(open_rows):
                break
        return nodes

    def finish(self, vocabulary: Sequence[str]) -> NgramModel:
        nodes = len(self._keys) + 1
        starts = np.arange(nodes + 1, dtype=np.int64) * self._size
        return NgramModel(
            order=self._order,
            vocabulary=tuple(vocabulary),
            words=np.concatenate([[-1], self._keys % self._size]).astype(np.int32),
            first=(np.searchsorted(self._keys, starts) + 1).astype(np.int32),
            log10_probs=np.concatenate(self._log10_probs),
            backoffs=np.concatenate(self._backoffs),
            suffixes=self._suffixes,
        )


@dataclass(frozen=True, slots=True)
class Perplexity:
    """Perplexity on a text: `words` tokens, ends of sentences included, of which `unknown`."""

    log10_prob: float
    words: int
    unknown: int
    log10_prob_known: float

    @property
    def perplexity(self) -> float:
        """Return the perplexity with unknown words, as `<unk>`."""
        return float(10 ** (-self.log10_prob / max(self.words, 1)))

    @property
    def perplexity_known(self) -> float:
        """Return the perplexity of the known words alone."""
        return float(10 ** (-self.log10_prob_known / max(self.words - self.unknown, 1)))


def measure_perplexity(model: NgramModel, sentences: Iterable[Sequence[str]]) -> Perplexity:
    """Score sentences of words; an unknown word scores as `<unk>`."""
    total, known, words, unknown = 0.0, 0.0, 0, 0
    for sentence in sentences:
        state = model.begin_state
        for word in (*sentence, END):
            log10_prob, state = model.score(state, model.find_word(word))
            missing = word not in model.ids
            total += log10_prob
            known += 0.0 if missing else log10_prob
            words, unknown = words + 1, unknown + missing
    return Perplexity(total, words, unknown, known)

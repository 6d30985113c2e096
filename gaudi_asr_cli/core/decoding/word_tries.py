"""Tries over tokens: the words of a language model, and the automaton of hotwords."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers = NDArray[np.int32]
    Floats = NDArray[np.float32]

ROOT, NO_NODE = 0, -1


@dataclass(frozen=True)
class WordTrie:
    """Words as paths of tokens.

    Args:
        tokens: int32 (N,), the token that leads to each node.
        first: int32 (N + 1,), children of node n are `first[n]` up to `first[n + 1]`, by token.
        words: int32 (N,), the word that ends at a node, or `unknown`.
        values: float32 (N,), the highest log10 probability of a word at or below the node.
        unknown: Word of a path that is not in the trie; -1 where there is none.
        unknown_value: log10 probability of that word.
    """

    tokens: Integers
    first: Integers
    words: Integers
    values: Floats
    unknown: int
    unknown_value: float

    @classmethod
    def build(
        cls,
        words: Iterable[tuple[Sequence[int], int, float]],
        *,
        unknown: int,
        unknown_value: float,
    ) -> WordTrie:
        """Build the trie of words: tokens, id, and log10 probability.

        Of two words with the same tokens the more probable one stands.
        """
        ordered = sorted(
            ((tuple(tokens), -value, index) for tokens, index, value in words),
        )
        levels = _Levels(unknown, unknown_value)
        for tokens, value, index in ordered:
            levels.add(tokens, index, -value)
        return levels.finish()

    def find_child(self, node: int, token: int) -> int:
        """Return the node after one more token; `NO_NODE` where no word goes on so."""
        if node == NO_NODE:
            return NO_NODE
        low, high = int(self.first[node]), int(self.first[node + 1])
        position = low + int(np.searchsorted(self.tokens[low:high], token))
        return position if position < high and self.tokens[position] == token else NO_NODE

    def find_word(self, node: int) -> int:
        """Return the word that ends at a node, or the unknown one."""
        return self.unknown if node == NO_NODE else int(self.words[node])

    def look_ahead(self, node: int) -> float:
        """Return the highest log10 probability of a word that goes on from a node."""
        return self.unknown_value if node == NO_NODE else float(self.values[node])


class _Levels:
    """Builds a trie whose nodes are numbered level by level, from words in the order of tokens."""

    def __init__(self, unknown: int, unknown_value: float) -> None:
        self._unknown, self._unknown_value = unknown, unknown_value
        self._children: list[dict[int, int]] = [{}]
        self._words = [unknown]
        self._values = [unknown_value]

    def add(self, tokens: Sequence[int], word: int, value: float) -> None:
        node = ROOT
        self._values[ROOT] = max(self._values[ROOT], value)
        for token in tokens:
            child = self._children[node].get(token)
            if child is None:
                child = len(self._children)
                self._children[node][token] = child
                self._children.append({})
                self._words.append(self._unknown)
                self._values.append(self._unknown_value)
            node = child
            self._values[node] = max(self._values[node], value)
        if self._words[node] == self._unknown:
            self._words[node] = word

    def finish(self) -> WordTrie:
        order, tokens, first = [ROOT], [-1], [1]
        for node in order:
            children = sorted(self._children[node].items())
            tokens += [token for token, _ in children]
            order += [child for _, child in children]
            first.append(len(order))
        return WordTrie(
            tokens=np.array(tokens, np.int32),
            first=np.array(first, np.int32),
            words=np.array(self._words, np.int32)[order],
            values=np.array(self._values, np.float32)[order],
            unknown=self._unknown,
            unknown_value=self._unknown_value,
        )


@dataclass(frozen=True)
class HotwordTable:
    """An Aho-Corasick automaton of hotwords; with a delimiter only whole words match.

    Args:
        steps: int32 (N, V), the node after each token.
        matches: int32 (N,), the number of hotwords that end at a node.
        credits: float32 (N,), the share of a hotword that was met: below 1, for pruning.
        start: Node at the start of a text.
    """

    steps: Integers
    matches: Integers
    credits: Floats
    start: int

    def step(self, node: int, token: int) -> int:
        """Return the node after one more token."""
        return int(self.steps[node, token])


def build_hotwords(words: Iterable[Sequence[int]], *, tokens: int, delimiter: int) -> HotwordTable:
    """Build the automaton of hotwords, each a sequence of tokens, delimiters between words.

    Args:
        words: The hotwords, not empty.
        tokens: Number of tokens.
        delimiter: Column of the word delimiter; -1 where there is none.
    """
    around = [] if delimiter < 0 else [delimiter]
    patterns = sorted({(*around, *word, *around) for word in words})
    children: list[dict[int, int]] = [{}]
    lasting, depths = [0.0], [0]
    ends: dict[int, int] = {}
    for pattern in patterns:
        node = ROOT
        for depth, token in enumerate(pattern, 1):
            if token not in children[node]:
                children[node][token] = len(children)
                children.append({})
                lasting.append(0.0)
                depths.append(depth)
            node = children[node][token]
            # A delimiter alone is no share of a hotword.
            met = (depth - len(around)) / len(pattern)
            lasting[node] = max(lasting[node], met)
        ends[node] = 1
    steps, matches, credit = _link(children, ends, lasting, tokens)
    return HotwordTable(steps, matches, credit, int(steps[ROOT, delimiter]) if around else ROOT)


def _link(
    children: Sequence[dict[int, int]], ends: dict[int, int], lasting: Sequence[float], tokens: int
) -> tuple[Integers, Integers, Floats]:
    """Return steps, matches and credits, with the failures of the automaton resolved."""
    steps = np.zeros((len(children), tokens), np.int32)
    matches = np.zeros(len(children), np.int32)
    shares = np.array(lasting, np.float32)
    fails = [ROOT] * len(children)
    queue = deque([ROOT])
    while queue:
        node = queue.popleft()
        if node != ROOT:
            matches[node] = ends.get(node, 0) + matches[fails[node]]
            if node in ends and not children[node]:
                shares[node] = shares[fails[node]]
            steps[node] = steps[fails[node]]
        for token, child in children[node].items():
            fails[child] = int(steps[fails[node], token]) if node != ROOT else ROOT
            steps[node, token] = child
            queue.append(child)
    return steps, matches, shares

"""Scores of hypotheses beside the acoustic model's: language model, word bonus, hotwords.

A prefix of tokens is scored step by step. All tables are flat arrays, so that the compiled search
reads the same ones as the one in Python.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gaudi_asr_cli.core.decoding.lm.ngram_model import (
    END,
    LN_10,
    ROOT,
    UNKNOWN,
    UNSEEN_LOG10,
    NgramModel,
)
from gaudi_asr_cli.core.decoding.word_tries import NO_NODE, HotwordTable, WordTrie

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNKNOWN_PENALTY_LOG10 = -10.0
"""Added for a word that the model does not know (as pyctcdecode does): `<unk>` stands for all of
them together, and without it the letters that sound best would win."""
DEFAULT_LM_WEIGHT, DEFAULT_WORD_BONUS, DEFAULT_HOTWORD_WEIGHT = 0.5, 1.5, 8.0


class Context(NamedTuple):
    """What the score of a prefix's continuations depends on.

    Args:
        lm_state: Node of the language model.
        word_node: Node of the unfinished word in the trie of the model's words.
        hot_node: Node of the hotwords' automaton.
        score: Score of the prefix so far.
        ahead: What its unfinished word may still be worth at most, for pruning only.
    """

    lm_state: int
    word_node: int
    hot_node: int
    score: float
    ahead: float


@dataclass(frozen=True)
class PrefixScorer:
    """Scores prefixes of tokens in natural logarithms.

    The score of a text is `lm_weight` x the log probability of its words and of the end after them,
    plus `word_bonus` for each word, plus `hotword_weight` for each hotword in it. With
    `by_token` the words of the language model are tokens.

    Args:
        delimiter: Column of the word delimiter, -1 where there is none: each token is a word then.
        lm: The language model, if any.
        trie: Words of the model as tokens; None with `by_token`.
        token_words: int32 (V,), with `by_token`: the model's word of each token.
        hotwords: Automaton of the hotwords, if any.
        lm_weight: Weight of the language model.
        word_bonus: Added for each word.
        hotword_weight: Added for each hotword.
    """

    delimiter: int
    lm: NgramModel | None = None
    trie: WordTrie | None = None
    token_words: NDArray[np.int32] | None = None
    hotwords: HotwordTable | None = None
    lm_weight: float = DEFAULT_LM_WEIGHT
    word_bonus: float = 0.0
    hotword_weight: float = DEFAULT_HOTWORD_WEIGHT
    _end: int = field(init=False, default=-1)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_end", -1 if self.lm is None else self.lm.find_word(END))

    @property
    def weight(self) -> float:
        """Return the weight of a log10 probability."""
        return 0.0 if self.lm is None else self.lm_weight * LN_10

    def start(self) -> Context:
        """Return the context of the empty prefix."""
        state = ROOT if self.lm is None else self.lm.begin_state
        hot = ROOT if self.hotwords is None else self.hotwords.start
        return Context(state, ROOT, hot, 0.0, 0.0)

    def extend(self, context: Context, token: int) -> Context:
        """Return the context after one more token; a delimiter ends a word."""
        state, word, score = context.lm_state, context.word_node, context.score
        if token == self.delimiter or self.delimiter < 0:
            score += self.word_bonus
        ahead = 0.0
        if self.token_words is not None:
            state, score = self._add(state, int(self.token_words[token]), score)
        elif self.trie is not None and token == self.delimiter:
            state, score = self._add_word(state, self.trie, word, score)
            word = ROOT
        elif self.trie is not None:
            word = self.trie.find_child(word, token)
            ahead = self.weight * self.trie.look_ahead(word)
        hot = context.hot_node
        if self.hotwords is not None:
            hot = self.hotwords.step(hot, token)
            score += self.hotword_weight * int(self.hotwords.matches[hot])
            ahead += self.hotword_weight * float(self.hotwords.credits[hot])
        return Context(state, word, hot, score, ahead)

    def _add(self, state: int, word: int, score: float) -> tuple[int, float]:
        assert self.lm is not None  # noqa: S101 - words are of a model
        log10_prob, state = self.lm.score(state, word)
        return state, score + self.weight * log10_prob

    def _add_word(self, state: int, trie: WordTrie, node: int, score: float) -> tuple[int, float]:
        word = trie.find_word(node)
        state, score = self._add(state, word, score)
        if word == trie.unknown:
            score += self.weight * UNKNOWN_PENALTY_LOG10
        return state, score

    def finish(self, context: Context, *, empty: bool) -> float:
        """Return the score of a whole text whose last word is unfinished, or that is `empty`."""
        state, score = context.lm_state, context.score
        if not empty and self.delimiter >= 0:
            score += self.word_bonus
            if self.trie is not None:
                state, score = self._add_word(state, self.trie, context.word_node, score)
            if self.hotwords is not None:
                hot = self.hotwords.step(context.hot_node, self.delimiter)
                score += self.hotword_weight * int(self.hotwords.matches[hot])
        if self.lm is not None:
            score += self.weight * self.lm.score(state, self._end)[0]
        return score

    def score_tokens(self, tokens: Sequence[int]) -> float:
        """Return the score of a whole text, without a delimiter at its end."""
        context = self.start()
        for token in tokens:
            context = self.extend(context, token)
        return self.finish(context, empty=not tokens)


def build_word_trie(lm: NgramModel, encode: Callable[[str], Sequence[int] | None]) -> WordTrie:
    """Build the trie of a model's words; `encode` gives their tokens, None if it has none."""
    probabilities = lm.log10_probs[1 : len(lm.vocabulary) + 1]
    unknown = lm.unknown
    worst = UNSEEN_LOG10 if unknown < 0 else float(probabilities[unknown])
    words = (
        (tokens, index, float(probabilities[index]))
        for index, word in enumerate(lm.vocabulary)
        if word not in ("<s>", END, UNKNOWN) and (tokens := encode(word))
    )
    return WordTrie.build(words, unknown=unknown, unknown_value=worst + UNKNOWN_PENALTY_LOG10)


def find_token_words(lm: NgramModel, names: Iterable[tuple[str, ...]]) -> NDArray[np.int32]:
    """Return the model's word of each token, given the token's possible names in the model."""
    found = []
    for candidates in names:
        known = [lm.ids[name] for name in candidates if name in lm.ids]
        found.append(known[0] if known else lm.unknown)
    return np.array(found, np.int32)


__all__ = ["NO_NODE", "Context", "PrefixScorer", "build_word_trie", "find_token_words"]

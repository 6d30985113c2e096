"""Prefix beam search in plain Python, in log space; always there, and the reference of the other.

A hypothesis is a text, whose probability is the sum over all alignments: a blank or another token
separates doubled letters, and delimiters before, after or next to each other count as one.
Source: Hannun et al. 2014, "First-pass large vocabulary continuous speech recognition using
bi-directional recurrent DNNs".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import nlargest
from itertools import pairwise
from math import exp, inf, log1p

from gaudi_asr_cli.core.decoding.prefix_scores import Context, PrefixScorer
from gaudi_asr_cli.core.decoding.token_frames import TokenFrames, merge_blank_frames

PRUNING = 10.0
"""A hypothesis whose score is lower than the best one's by this is dropped."""
FRAMES_BETWEEN_CLEANING = 512


@dataclass(frozen=True, slots=True)
class SearchResult:
    """A text as tokens, without a delimiter at its end, and its score.

    `score` is the natural logarithm: of the text given the audio, plus that of `PrefixScorer`.
    """

    tokens: tuple[int, ...]
    score: float


class Prefix:
    """A prefix of tokens in the tree of all prefixes; `root` has no parent."""

    __slots__ = ("children", "context", "parent", "token")

    def __init__(self, parent: Prefix | None, token: int, context: Context) -> None:
        self.parent = parent
        self.token = token
        self.context = context
        self.children: dict[int, Prefix] = {}

    def tokens(self) -> tuple[int, ...]:
        """Return the tokens from the root."""
        found: list[int] = []
        node: Prefix | None = self
        while node is not None and node.parent is not None:
            found.append(node.token)
            node = node.parent
        return tuple(reversed(found))


class _Hypothesis:
    """A prefix in the beam: log probability of alignments that end in a blank, or do not."""

    __slots__ = ("blank", "prefix", "token")

    def __init__(self, prefix: Prefix, blank: float, token: float) -> None:
        self.prefix, self.blank, self.token = prefix, blank, token


def search_prefixes(
    frames: TokenFrames,
    scorer: PrefixScorer,
    *,
    beam_size: int,
    pruning: float = PRUNING,
    n_best: int | None = None,
) -> list[SearchResult]:
    """Return the best texts of the beam, the best first.

    Args:
        frames: Likely tokens of the audio.
        scorer: Language model, bonus and hotwords.
        beam_size: Maximum number of hypotheses after a frame.
        pruning: See `PRUNING`.
        n_best: Maximum number of texts; None returns all.
    """
    search = _Search(scorer, beam_size, pruning)
    merged = merge_blank_frames(frames)
    tokens, log_probs = merged.tokens.tolist(), merged.log_probs.tolist()
    spans = pairwise(merged.first.tolist())
    for number, (blank, (low, high)) in enumerate(zip(merged.blanks.tolist(), spans, strict=True)):
        search.advance(blank, dict(zip(tokens[low:high], log_probs[low:high], strict=True)))
        if number % FRAMES_BETWEEN_CLEANING == FRAMES_BETWEEN_CLEANING - 1:
            search.clean()
    return search.results()[:n_best]


class _Search:
    def __init__(self, scorer: PrefixScorer, beam_size: int, pruning: float) -> None:
        self._scorer = scorer
        self._beam_size, self._pruning = beam_size, pruning
        self._beam = [_Hypothesis(Prefix(None, -1, scorer.start()), 0.0, -inf)]

    def advance(self, blank: float, tokens: dict[int, float]) -> None:
        """Take one frame: the log probabilities of the blank and of its likely tokens."""
        kept: dict[int, _Hypothesis] = {
            id(one.prefix): self._stay(one, blank, tokens) for one in self._beam
        }
        if tokens:
            for one in self._beam:
                for prefix, token, log_prob in self._continue(one, tokens):
                    self._add(kept, prefix, token, log_prob)
        self._beam = self._prune(kept.values())

    def _stay(self, one: _Hypothesis, blank: float, tokens: dict[int, float]) -> _Hypothesis:
        """Return the same prefix after a blank, or after its last token again."""
        total = add_logs(one.blank, one.token)
        if self._at_boundary(one.prefix):
            again = tokens.get(self._scorer.delimiter)
            stays = total + blank if again is None else add_logs(total + blank, total + again)
            return _Hypothesis(one.prefix, stays, -inf)
        repeated = tokens.get(one.prefix.token)
        return _Hypothesis(
            one.prefix, total + blank, -inf if repeated is None else one.token + repeated
        )

    def _continue(
        self, one: _Hypothesis, tokens: dict[int, float]
    ) -> Iterator[tuple[Prefix, int, float]]:
        total = add_logs(one.blank, one.token)
        boundary = self._at_boundary(one.prefix)
        for token, log_prob in tokens.items():
            if boundary and token == self._scorer.delimiter:
                continue
            # Without a blank before it, the same token is the same letter.
            start = one.blank if token == one.prefix.token else total
            if start > -inf:
                yield one.prefix, token, start + log_prob

    def _at_boundary(self, prefix: Prefix) -> bool:
        """Return whether a delimiter changes nothing: at the start, or after another."""
        delimiter = self._scorer.delimiter
        return delimiter >= 0 and (prefix.parent is None or prefix.token == delimiter)

    def _add(
        self, kept: dict[int, _Hypothesis], prefix: Prefix, token: int, log_prob: float
    ) -> None:
        child = prefix.children.get(token)
        if child is None:
            context = self._scorer.extend(prefix.context, token)
            child = prefix.children[token] = Prefix(prefix, token, context)
        found = kept.get(id(child))
        if found is None:
            kept[id(child)] = found = _Hypothesis(child, -inf, -inf)
        # After a delimiter it makes no difference whether a blank came last.
        if token == self._scorer.delimiter:
            found.blank = add_logs(found.blank, log_prob)
        else:
            found.token = add_logs(found.token, log_prob)

    def _prune(self, hypotheses: Iterable[_Hypothesis]) -> list[_Hypothesis]:
        scored = [(_rank(one), one) for one in hypotheses]
        least = max(score for score, _ in scored) - self._pruning
        scored = [pair for pair in scored if pair[0] >= least]
        if len(scored) > self._beam_size:
            scored = nlargest(self._beam_size, scored, key=_first)
        return [one for _, one in scored]

    def clean(self) -> None:
        """Forget the prefixes that no hypothesis goes on from, so that memory does not grow."""
        alive: set[int] = set()
        nodes: list[Prefix] = []
        for one in self._beam:
            node: Prefix | None = one.prefix
            while node is not None and id(node) not in alive:
                alive.add(id(node))
                nodes.append(node)
                node = node.parent
        for node in nodes:
            node.children = {
                token: child for token, child in node.children.items() if id(child) in alive
            }

    def results(self) -> list[SearchResult]:
        """Return the texts: a prefix and itself with a delimiter are the same one."""
        delimiter = self._scorer.delimiter
        sums: dict[int, float] = {}
        texts: dict[int, Prefix] = {}
        for one in self._beam:
            prefix = one.prefix
            if prefix.parent is not None and prefix.token == delimiter:
                prefix = prefix.parent
            texts[id(prefix)] = prefix
            total = add_logs(one.blank, one.token)
            sums[id(prefix)] = add_logs(sums.get(id(prefix), -inf), total)
        finished = [
            SearchResult(
                prefix.tokens(),
                sums[key] + self._scorer.finish(prefix.context, empty=prefix.parent is None),
            )
            for key, prefix in texts.items()
        ]
        return sorted(finished, key=lambda one: -one.score)


def _rank(one: _Hypothesis) -> float:
    context = one.prefix.context
    return add_logs(one.blank, one.token) + context.score + context.ahead


def _first(pair: tuple[float, _Hypothesis]) -> float:
    return pair[0]


def add_logs(first: float, second: float) -> float:
    """Return the logarithm of the sum of two numbers given by their logarithms."""
    if first < second:
        first, second = second, first
    return first if second == -inf else first + log1p(exp(second - first))

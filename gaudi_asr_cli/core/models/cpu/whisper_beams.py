"""Beam search of a Whisper on a CPU: the texts are those of transformers' `generate`.

Each utterance has up to `beams` hypotheses that go on, which share its encoded window and its
batch, and as many that have ended. Its rows leave the batch as soon as it is done.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from gaudi_asr_cli.core.models.cpu.greedy_head import find_largest
from gaudi_asr_cli.core.models.cpu.whisper import KVCache, WhisperDecoder
from gaudi_asr_cli.core.models.cpu.whisper_choice import LogitsProcessor

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class BeamSettings:
    """Settings of a beam search, named as in a generation configuration of transformers.

    Args:
        beams: Hypotheses that go on at a time.
        max_new_tokens: Tokens of the longest text, its end included.
        end_ids: Tokens that end a text.
        length_penalty: A text is ranked by its log probability divided by its number of tokens to
            this power.
        early_stopping: True: the search ends with `beams` texts; False: it goes on while the best
            hypothesis, at its length so far, is better than the worst of these; `never`: at
            whatever length makes it better.
    """

    beams: int
    max_new_tokens: int
    end_ids: frozenset[int]
    length_penalty: float = 1.0
    early_stopping: bool | str = False

    @classmethod
    def of(
        cls, settings: Any, *, beams: int, max_new_tokens: int, end_ids: frozenset[int]
    ) -> BeamSettings:
        """Return the settings of a generation configuration."""
        penalty = getattr(settings, "length_penalty", None)
        stopping = getattr(settings, "early_stopping", None)
        return cls(
            beams,
            max_new_tokens,
            end_ids,
            1.0 if penalty is None else float(penalty),
            False if stopping is None else stopping,
        )

    @property
    def candidates(self) -> int:
        """Return how many continuations are ranked: enough go on, whichever of them end."""
        return max(2, 1 + len(self.end_ids)) * self.beams

    def rank(self, score: float, length: int) -> float:
        """Return the rank of a text of this log probability and number of tokens."""
        return score / math.pow(length, self.length_penalty)


@dataclass(frozen=True, slots=True)
class Continuation:
    """A hypothesis, by its place among those that go on, and its next token.

    `score` is the log probability of all tokens so far.
    """

    score: float
    place: int
    token: int


class UtteranceSearch:
    """The beam search of one utterance."""

    def __init__(self, settings: BeamSettings) -> None:
        self.hypotheses: list[list[int]] = [[]]
        self.is_done = False
        self._settings = settings
        self._ended: list[tuple[float, list[int]]] = []

    @property
    def best(self) -> list[int]:
        """Return the tokens of the best text."""
        return self._ended[0][1] if self._ended else self.hypotheses[0]

    def advance(self, ranked: Sequence[Continuation]) -> list[Continuation]:
        """Extend the hypotheses by continuations, the best first; return those that go on."""
        settings, length = self._settings, len(self.hypotheses[0]) + 1
        is_last = length == settings.max_new_tokens
        possible = [one for one in ranked if one.score != -math.inf]
        ends = [is_last or one.token in settings.end_ids for one in possible]
        if not (settings.early_stopping is True and self._is_full):
            for one, is_end in list(zip(possible, ends, strict=True))[: settings.beams]:
                if is_end:
                    self._ended.append((settings.rank(one.score, length), self._extend(one)))
            self._ended.sort(key=lambda text: -text[0])
            del self._ended[settings.beams :]
        kept = [one for one, is_end in zip(possible, ends, strict=True) if not is_end]
        del kept[settings.beams :]
        self.is_done = not kept or self._cannot_improve(kept[0].score, length)
        if kept:
            self.hypotheses = [self._extend(one) for one in kept]
        return kept

    def _extend(self, continuation: Continuation) -> list[int]:
        return [*self.hypotheses[continuation.place], continuation.token]

    @property
    def _is_full(self) -> bool:
        return len(self._ended) == self._settings.beams

    def _cannot_improve(self, best: float, length: int) -> bool:
        settings = self._settings
        if not self._is_full or settings.early_stopping is True:
            return self._is_full
        longest = settings.early_stopping == "never" and settings.length_penalty > 0
        reached = settings.rank(best, settings.max_new_tokens if longest else length)
        return reached <= self._ended[-1][0]


@dataclass(frozen=True, slots=True)
class BeamSearch:
    """Beam search of a batch of utterances.

    Args:
        decoder: The decoder.
        process_logits: Forbids tokens.
        settings: The settings.
        record_step: Called after each step.
    """

    decoder: WhisperDecoder
    process_logits: LogitsProcessor
    settings: BeamSettings
    record_step: Callable[[], None]

    def __call__(self, kv_cache: KVCache, tokens: Tensor, states: Tensor) -> list[list[int]]:
        """Return the best token ids of each utterance, after its prompt.

        Args:
            kv_cache: The cache of the decoder, which holds the prompts.
            tokens: The prompts (B, P).
            states: The normalised states (B, D) after them.
        """
        searches = [UtteranceSearch(self.settings) for _ in range(len(tokens))]
        active = searches
        scores = torch.zeros(len(tokens))  # (R,), R rows of all hypotheses that go on
        for step in range(self.settings.max_new_tokens):
            log_probs = self.decoder.compute_logits(states).log_softmax(-1)
            log_probs = self.process_logits(tokens, log_probs, first=step == 0)  # (R, V)
            found, ids = find_largest(log_probs, self.settings.candidates)  # (R, K)
            found += scores[:, None]
            self.record_step()
            rows: list[int] = []
            kept: list[Continuation] = []
            for search, hypotheses in _rows_of(active):
                going_on = search.advance(_rank(found[hypotheses], ids[hypotheses]))
                if not search.is_done:
                    rows += [hypotheses.start + one.place for one in going_on]
                    kept += going_on
            active = [search for search in active if not search.is_done]
            if not active:
                break
            kv_cache.select_rows(rows)
            chosen = torch.tensor([[one.token] for one in kept])
            scores = torch.tensor([one.score for one in kept])
            tokens = torch.cat([tokens[rows], chosen], dim=1)
            states = self.decoder.step(chosen, kv_cache)[:, 0]
        return [search.best for search in searches]


def _rows_of(searches: Sequence[UtteranceSearch]) -> Iterator[tuple[UtteranceSearch, slice]]:
    """Yield each search and the rows of its hypotheses."""
    first = 0
    for search in searches:
        end = first + len(search.hypotheses)
        yield search, slice(first, end)
        first = end


def _rank(scores: Tensor, ids: Tensor) -> list[Continuation]:
    """Return the best continuations of hypotheses from K of each, scores and tokens (N, K)."""
    count = scores.shape[1]
    best, places = scores.flatten().topk(count)
    tokens = ids.flatten()[places]
    ranked = zip(best.tolist(), places.tolist(), tokens.tolist(), strict=True)
    return [Continuation(score, place // count, token) for score, place, token in ranked]

"""Choice of the next token of a Whisper from the states of its decoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import torch

from gaudi_asr_cli.core.models.cpu.greedy_head import GreedyHead
from gaudi_asr_cli.core.models.cpu.whisper import WhisperDecoder
from gaudi_asr_cli.core.models.cpu.whisper_timestamps import TimestampRules
from gaudi_asr_cli.core.models.seq2seq.sampling import TokenSampler

if TYPE_CHECKING:
    from torch import Tensor


class TokenChooser(Protocol):
    """Chooses tokens and records them with a `TokenSampler`."""

    def __call__(self, states: Tensor, tokens: Tensor, rows: Tensor, *, first: bool) -> Tensor:
        """Return the tokens (R,) after normalised states (R, D) of the sequences (R, L).

        `rows` (R,) are their rows in the sampler; `first` says that only the prompt came before.
        """


class LogitsProcessor:
    """Whisper's token suppression and timestamp rules, as in transformers' `generate`.

    With `text_end`, the first id that is not text, it expects the `ReducedLogits` of a
    `GreedyHead`.
    """

    def __init__(
        self, settings: Any, prompt_length: int, timestamps: bool, text_end: int = 1
    ) -> None:
        self._before = text_end - 1
        self._suppressed = self._columns(settings.suppress_tokens)
        self._suppressed_first = self._columns(settings.begin_suppress_tokens)
        self._rules = None
        if timestamps:
            rules = TimestampRules.of(settings, prompt_length)
            first, end = rules.first - self._before, rules.end - self._before
            self._rules = replace(rules, first=first, end=end)

    def __call__(self, tokens: Tensor, logits: Tensor, *, first: bool) -> Tensor:
        """Return logits (B, V) after tokens (B, L), -inf for tokens that are not allowed."""
        logits = logits.index_fill_(1, self._suppressed, -torch.inf)
        if first:
            logits = logits.index_fill_(1, self._suppressed_first, -torch.inf)
        if self._rules is None:
            return logits
        return self._rules((tokens - self._before).clamp_(min=0), logits)

    def _columns(self, tokens: Sequence[int] | None) -> Tensor:
        first = self._before + 1 if self._before else 0
        return _as_tensor([one - self._before for one in tokens or () if one >= first])


class ExactChooser:
    """Chooses from the logits of all tokens."""

    def __init__(
        self, decoder: WhisperDecoder, process_logits: LogitsProcessor, sampler: TokenSampler
    ) -> None:
        self._decoder = decoder
        self._process_logits = process_logits
        self._sampler = sampler

    def __call__(self, states: Tensor, tokens: Tensor, rows: Tensor, *, first: bool) -> Tensor:
        logits = self._decoder.compute_logits(states)
        return self._sampler.choose(self._process_logits(tokens, logits, first=first), rows)


class GreedyChooser:
    """Chooses the most probable tokens with a `GreedyHead`."""

    def __init__(
        self,
        head: GreedyHead,
        process_logits: LogitsProcessor,
        sampler: TokenSampler,
        settings: Any,
    ) -> None:
        self._head = head
        self._process_logits = process_logits
        self._sampler = sampler
        always = {one for one in settings.suppress_tokens or () if one < head.end}
        not_first = {one for one in settings.begin_suppress_tokens or () if one < head.end}
        self._suppressed = _as_tensor(sorted(always))
        self._suppressed_first = _as_tensor(sorted(always | not_first))

    def __call__(self, states: Tensor, tokens: Tensor, rows: Tensor, *, first: bool) -> Tensor:
        suppressed = self._suppressed_first if first else self._suppressed
        reduced = self._head(states.contiguous(), suppressed)
        logits = self._process_logits(tokens, reduced.logits, first=first)
        logprobs, columns = logits.max(1)
        chosen = torch.where(columns == 0, reduced.best, columns + (self._head.end - 1))
        # All text tokens are allowed, or none.
        text = reduced.mass.masked_fill(logits[:, 0] == -torch.inf, -torch.inf)
        mass = torch.logaddexp(text, logits[:, 1:].logsumexp(1))
        self._sampler.record(chosen, logprobs - mass, rows)
        return chosen


def open_chooser(
    decoder: WhisperDecoder,
    settings: Any,
    sampler: TokenSampler,
    *,
    prompt_length: int,
    timestamps: bool,
) -> TokenChooser:
    """Open the fastest choice for the temperature of the sampler."""
    head = decoder.greedy_head
    if head is None or not sampler.is_greedy or min(sampler.end_ids) < head.end:
        exact = LogitsProcessor(settings, prompt_length, timestamps)
        return ExactChooser(decoder, exact, sampler)
    process_logits = LogitsProcessor(settings, prompt_length, timestamps, head.end)
    return GreedyChooser(head, process_logits, sampler, settings)


def _as_tensor(tokens: Sequence[int]) -> Tensor:
    return torch.tensor(list(tokens), dtype=torch.long)

"""The text before that of a window: hotwords, an initial prompt, and the windows before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gaudi_asr_cli.core.records import Hypothesis

MAX_TEMPERATURE = 0.5
"""Text that was sampled at a higher temperature is not continued: errors would be repeated."""


@dataclass(frozen=True, slots=True)
class Prompting:
    """Token ids to put before the text of a window.

    Args:
        initial: The initial prompt, before the text of the first window.
        hotwords: Words to expect, before the text of every window.
        conditions: A window continues the text of those before it.
        limit: Maximum number of tokens.
    """

    initial: tuple[int, ...] = ()
    hotwords: tuple[int, ...] = ()
    conditions: bool = False
    limit: int = 223

    def join(self, previous: Sequence[int]) -> tuple[int, ...]:
        """Return hotwords, up to half of the limit, and the end of the text before."""
        hotwords = self.hotwords[: self.limit // 2]
        rest = self.limit - len(hotwords)
        return (*hotwords, *previous[-rest:])


NO_PROMPT = Prompting()


class TextBefore:
    """The text that the next window continues."""

    def __init__(self, prompting: Prompting) -> None:
        self._prompting = prompting
        self._previous = list(prompting.initial)

    @property
    def tokens(self) -> tuple[int, ...]:
        """Return the token ids before the next window."""
        return self._prompting.join(self._previous)

    def add(self, hypothesis: Hypothesis, kept: Sequence[int]) -> None:
        """Add the tokens that were kept of a window; its hypothesis was continued up to there."""
        sampled = hypothesis.stats is not None and hypothesis.stats.temperature > MAX_TEMPERATURE
        if sampled or not self._prompting.conditions:
            self._previous = []
        else:
            self._previous = [*self._previous, *kept][-self._prompting.limit :]

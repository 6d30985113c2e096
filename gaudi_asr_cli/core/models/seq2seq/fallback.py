"""Temperature fallback, as openai-whisper defines it: a poor text is generated again.

The first attempt is at the first temperature, usually 0 (greedy or beam search). A text that
compresses too well or is too improbable is generated again at the next temperature, with
sampling; the last attempt stands whatever it is. A window whose first token says that there is no
speech, and whose text is improbable, has no text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from gaudi_asr_cli.core.errors import UsageError
from gaudi_asr_cli.core.records import DecodingStats, Hypothesis
from gaudi_asr_cli.core.text.repetition import compression_ratio, is_repetitive

DEFAULT_TEMPERATURES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


@dataclass(frozen=True, slots=True)
class Fallback:
    """Temperatures to try in turn, and what makes an attempt fail; a threshold of None is unused.

    Args:
        temperatures: Temperatures, the first first; 0 is greedy or beam search.
        compression_ratio_threshold: A text that compresses better fails.
        logprob_threshold: A text whose average log probability is lower fails.
        no_speech_threshold: With a higher probability of no speech, a text that fails by its log
            probability is dropped instead of generated again.
        best_of: Samples per attempt at a temperature above 0; the most probable one is taken.
        seed: Random seed of the samples.
    """

    temperatures: tuple[float, ...] = (0.0,)
    compression_ratio_threshold: float | None = None
    logprob_threshold: float | None = None
    no_speech_threshold: float | None = None
    best_of: int = 1
    seed: int = 42

    def check(self) -> None:
        """Check the values.

        Raises:
            UsageError: There is no temperature or a negative one, or no sample.
        """
        if not self.temperatures or not all(0 <= one < float("inf") for one in self.temperatures):
            raise UsageError(
                "Temperatures are numbers from 0 on, at least one.",
                remedy="Pass --temperature 0 for a single attempt, or 0,0.2,0.4,0.6,0.8,1.",
            )
        if self.best_of < 1:
            raise UsageError("At least one sample is needed.", remedy="Pass --best-of 1.")

    def is_silence(self, stats: DecodingStats | None) -> bool:
        """Return whether there is probably no speech."""
        if stats is None or stats.no_speech_probability is None or self.no_speech_threshold is None:
            return False
        if stats.no_speech_probability <= self.no_speech_threshold:
            return False
        return self.logprob_threshold is None or stats.avg_logprob < self.logprob_threshold

    def is_failure(self, stats: DecodingStats | None) -> bool:
        """Return whether the text should be generated again."""
        if stats is None or self.is_silence(stats):
            return False
        compression, logprob = self.compression_ratio_threshold, self.logprob_threshold
        return (compression is not None and stats.compression_ratio > compression) or (
            logprob is not None and stats.avg_logprob < logprob
        )


Attempt = Callable[[Sequence[int], float], Sequence[Hypothesis]]
"""Generates these rows of a batch at a temperature."""


def generate_with_fallback(attempt: Attempt, rows: int, fallback: Fallback) -> list[Hypothesis]:
    """Generate the rows of a batch; the rows that failed are generated again."""
    generated: dict[int, Hypothesis] = {}
    pending = list(range(rows))
    for temperature in fallback.temperatures:
        generated |= dict(zip(pending, attempt(pending, temperature), strict=True))
        pending = [row for row in pending if fallback.is_failure(generated[row].stats)]
        if not pending:
            break
    return [_without_silence(generated[row], fallback) for row in range(rows)]


def _without_silence(hypothesis: Hypothesis, fallback: Fallback) -> Hypothesis:
    if not fallback.is_silence(hypothesis.stats):
        return hypothesis
    return replace(hypothesis, tokens=(), text="", segments=(), truncated=False)


def with_stats(
    hypothesis: Hypothesis, temperature: float, avg_logprob: float, no_speech: float | None
) -> Hypothesis:
    """Return the hypothesis and its segments with the measures of its text."""
    stats = DecodingStats(
        temperature=temperature,
        avg_logprob=avg_logprob,
        compression_ratio=compression_ratio(hypothesis.text),
        no_speech_probability=no_speech,
        repetitive=is_repetitive(hypothesis.text),
    )
    segments = tuple(replace(one, stats=stats) for one in hypothesis.segments)
    return replace(hypothesis, stats=stats, segments=segments)


def choose_best(
    hypotheses: Sequence[Hypothesis], sum_logprobs: Sequence[float], best_of: int
) -> list[int]:
    """Return the index of the most probable of each `best_of` consecutive samples.

    Probable per token: a sum alone would favour the shortest.
    """

    def score(index: int) -> float:
        return sum_logprobs[index] / max(len(hypotheses[index].tokens), 1)

    groups = range(0, len(hypotheses), best_of)
    return [max(range(first, first + best_of), key=score) for first in groups]

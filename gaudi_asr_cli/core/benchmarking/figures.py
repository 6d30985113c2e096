"""Latency and padding of a benchmark, by bucket and overall."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gaudi_asr_cli.core.benchmarking.percentiles import (
    Latency,
    Spread,
    measure_spread,
    summarize_latency,
)
from gaudi_asr_cli.core.benchmarking.repeats import Repeat
from gaudi_asr_cli.core.inference.results import NOT_TIMED, TimedResult


@dataclass(frozen=True, slots=True)
class BucketFigures:
    """Figures of utterances up to `edge_s`; `padding` is padded over real audio (1.0: none)."""

    edge_s: float
    utterances: int
    audio_s: float
    padding: float
    latency_ms: Latency


@dataclass(frozen=True, slots=True)
class GenerationFigures:
    """Figures of a model that generates text token by token.

    `tokens` are those of one pass; `first_token_ms` is the time from decoded audio to the first
    token of an utterance's batch or, of long audio, of its first window.
    """

    tokens: int
    tokens_per_s: Spread
    first_token_ms: Latency


def generation_figures(repeats: Sequence[Repeat]) -> GenerationFigures | None:
    """Return the figures over all repeats; None for a model that generates no tokens."""
    counts = [
        [one.done.transcript.tokens for one in repeat.results if one.done.transcript is not None]
        for repeat in repeats
    ]
    if not any(counts) or any(count is None for repeat in counts for count in repeat):
        return None
    totals = [sum(count or 0 for count in repeat) for repeat in counts]
    firsts = [one.first_token_s for repeat in repeats for one in repeat.timings]
    rates = [total / one.wall_s for total, one in zip(totals, repeats, strict=True)]
    return GenerationFigures(
        tokens=totals[0],
        tokens_per_s=measure_spread(rates),
        first_token_ms=summarize_latency([one for one in firsts if one is not None]),
    )


def bucket_figures(
    edges_s: Sequence[float], durations_s: Sequence[float], repeats: Sequence[Repeat]
) -> tuple[BucketFigures, ...]:
    """Return the figures of each bucket over all repeats, without empty buckets."""
    durations = np.asarray(durations_s, dtype=np.float64)
    bucket_of = np.searchsorted(np.asarray(edges_s) + 1e-6, durations)
    figures = []
    for bucket, edge_s in enumerate(edges_s):
        members = np.flatnonzero(bucket_of == bucket).tolist()
        if members:
            audio_s = float(durations[members].sum())
            latencies = [one.timings[member].latency_s for one in repeats for member in members]
            figures.append(
                BucketFigures(
                    edge_s=edge_s,
                    utterances=len(members),
                    audio_s=audio_s,
                    padding=edge_s * len(members) / audio_s if audio_s else 1.0,
                    latency_ms=summarize_latency(latencies),
                )
            )
    return tuple(figures)


def run_padding(results: Sequence[TimedResult]) -> float:
    """Return padded over real audio, as it went through the network."""
    good = [one for one in results if one.done.error is None]
    real_s = sum(one.done.duration_s for one in good)
    return sum(one.timing.padded_s for one in good) / real_s if real_s else 1.0


def all_latencies_s(repeats: Sequence[Repeat]) -> list[float]:
    """Return the latency of each utterance, from decoded audio to text, over all repeats."""
    return [one.latency_s for repeat in repeats for one in repeat.timings if one != NOT_TIMED]

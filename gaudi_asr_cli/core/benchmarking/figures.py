"""Figures of a benchmark bucket by bucket."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gaudi_asr_cli.core.benchmarking.percentiles import Latency, summarize_latency
from gaudi_asr_cli.core.benchmarking.repeats import Repeat
from gaudi_asr_cli.core.inference.results import NOT_TIMED, TimedResult


@dataclass(frozen=True, slots=True)
class BucketFigures:
    """Utterances up to `edge_s` long; `padding` is what padding them to it costs (1.0: nothing)."""

    edge_s: float
    utterances: int
    audio_s: float
    padding: float
    latency_ms: Latency


def bucket_figures(
    edges_s: Sequence[float], durations_s: Sequence[float], rounds: Sequence[Repeat]
) -> tuple[BucketFigures, ...]:
    """How each bucket fared over all rounds; buckets without utterances are left out."""
    durations = np.asarray(durations_s, dtype=np.float64)
    bucket_of = np.searchsorted(np.asarray(edges_s) + 1e-6, durations)
    figures = []
    for bucket, edge_s in enumerate(edges_s):
        members = np.flatnonzero(bucket_of == bucket).tolist()
        if members:
            audio_s = float(durations[members].sum())
            latencies = [one.timings[member].whole_s for one in rounds for member in members]
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


def run_padding(heard: Sequence[TimedResult]) -> float:
    """Padded over real audio as it went through the network."""
    good = [one for one in heard if one.done.error is None]
    real_s = sum(one.done.duration_s for one in good)
    return sum(one.timing.padded_s for one in good) / real_s if real_s else 1.0


def whole_latencies_s(rounds: Sequence[Repeat]) -> list[float]:
    """Seconds from taking each utterance up to having its text, over all rounds."""
    return [one.whole_s for round_ in rounds for one in round_.timings if one != NOT_TIMED]

"""Percentiles of latencies, and the spread of repeats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Latency:
    """Latency from decoded audio to text, in milliseconds."""

    mean: float
    p50: float
    p90: float
    p95: float
    p99: float
    max: float


def summarize_latency(seconds: Sequence[float]) -> Latency:
    """Return percentiles in milliseconds, linearly interpolated; zeros without measurements."""
    ms = 1000.0 * np.asarray(seconds, dtype=np.float64)
    if not len(ms):
        return Latency(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    p50, p90, p95, p99 = np.percentile(ms, [50, 90, 95, 99])
    return Latency(
        float(ms.mean()), float(p50), float(p90), float(p95), float(p99), float(ms.max())
    )


@dataclass(frozen=True, slots=True)
class Spread:
    """Minimum, median and maximum over repeats."""

    minimum: float
    median: float
    maximum: float


def measure_spread(values: Sequence[float]) -> Spread:
    """Return the minimum, median and maximum of at least one value."""
    return Spread(min(values), float(np.median(values)), max(values))

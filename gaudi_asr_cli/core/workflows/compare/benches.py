"""Compare two results of `bench --save`: error rates where both have one, otherwise speed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import sqrt
from statistics import NormalDist
from typing import Any

from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.evaluation.paired import PairedTest
from gaudi_asr_cli.core.records import ErrorCounts
from gaudi_asr_cli.core.workflows.compare.report import (
    CompareReport,
    SideSummary,
    SpeedComparison,
    measure_speed,
)
from gaudi_asr_cli.core.workflows.compare.sides import Side, name_sides
from gaudi_asr_cli.core.workflows.compare.verdict import CompareVerdict, Decision, judge_difference

DEFAULT_SPEED_TOLERANCE = 0.05
"""RTFx that B may lose before it counts as slower."""
SCORE_LEVEL = 0.95
"""Level of the interval that a score states."""


def compare_benches(
    a: Side, b: Side, *, tolerance: float, speed_tolerance: float | None, level: float
) -> CompareReport:
    """Compare two saved benchmarks of the same audio.

    Their error rates are compared by the intervals of both, which are wider than a paired test's.
    B is slower if its fastest repeat is slower than A's slowest by more than the tolerance.

    Args:
        a: A side with a benchmark.
        b: The other.
        tolerance: Absolute difference of the error rates that B may be worse by.
        speed_tolerance: Share of RTFx that B may be slower by.
        level: Level of the interval of the difference.

    Raises:
        DataError: They are of other audio, or only one has a score, or a value is missing.
    """
    _require_same_work(a, b)
    names = name_sides(a, b)
    speed = _compare_speed(
        a, b, DEFAULT_SPEED_TOLERANCE if speed_tolerance is None else speed_tolerance
    )
    test = _compare_scores(a, b, level) if a.score else None
    rate_name = "PER" if a.unit == "phoneme" else "WER"
    speed_verdict = _judge_speed(speed, *names)
    if test is None:
        verdict = speed_verdict
    else:
        judged = judge_difference(Decision(test, rate_name, tolerance, level, None), *names)
        verdict = replace(judged, sentence=f"{judged.sentence} {speed_verdict.sentence}")
    notes = ["The error rates are not paired: a benchmark keeps no texts."] if test else []
    return CompareReport(
        a=SideSummary.of(a, names[0], _counts(a.score)),
        b=SideSummary.of(b, names[1], _counts(b.score)),
        rate_name=rate_name,
        unit=a.unit,
        costs="minimal",
        normalizer=a.normalizer,
        test=test,
        level=level,
        tolerance=tolerance,
        verdict=verdict,
        words=None,
        slices=(),
        changed=(),
        speed=speed,
        notes=(*notes, *speed.notes),
    )


def _require_same_work(a: Side, b: Side) -> None:
    for key, name in (("sound", "audio"), ("utterances", "utterances"), ("audio_s", "audio")):
        here, there = a.report.get(key), b.report.get(key)
        if here != there:
            raise DataError(
                f"Other {name}: {a.path} has {here} ({key}), {b.path} {there}.",
                remedy="Run both benchmarks with the same --data and --limit.",
            )
    if bool(a.score) != bool(b.score):
        scored, other = (a, b) if a.score else (b, a)
        raise DataError(
            f"{scored.path} has an error rate, {other.path} has none.",
            remedy="Run both with --accuracy, or both without.",
        )
    for key, name in (("normalizer", "normalisers"), ("unit", "units")):
        here, there = a.score.get(key), b.score.get(key)
        if here != there:
            raise DataError(
                f"Other {name}: {a.path} has {here}, {b.path} {there}.",
                remedy="Run both benchmarks with the same version of the program.",
            )


def _compare_speed(a: Side, b: Side, tolerance: float) -> SpeedComparison:
    speed = measure_speed(a, b, None)
    if speed.ratio is None:
        raise DataError(
            f"{a.path} or {b.path} states no RTFx.", remedy="Run gaudi-asr bench --save again."
        )
    slowest_a = _spread(a.report, "minimum", speed.rtfx_a)
    fastest_b = _spread(b.report, "maximum", speed.rtfx_b)
    is_slower = speed.ratio < 1 - tolerance and fastest_b < slowest_a
    return replace(speed, is_slower=is_slower)


def _spread(result: Mapping[str, Any], bound: str, default: float | None) -> float:
    spread = result.get("spread")
    rtfx = spread.get("rtfx") if isinstance(spread, dict) else None
    value = rtfx.get(bound) if isinstance(rtfx, dict) else None
    return float(value if isinstance(value, int | float) else default or 0.0)


def _judge_speed(speed: SpeedComparison, name_a: str, name_b: str) -> CompareVerdict:
    change = (speed.ratio or 0.0) - 1
    rates = f"RTFx {speed.rtfx_b:,.1f} instead of {speed.rtfx_a:,.1f} ({change:+.1%})"
    if speed.is_slower:
        return CompareVerdict("worse", f"{name_b} is slower than {name_a}: {rates}.")
    return CompareVerdict(
        "no difference shown", f"{name_b} is not shown to be slower than {name_a}: {rates}."
    )


def _compare_scores(a: Side, b: Side, level: float) -> PairedTest:
    """Return the difference of two independent rates, its bounds by the normal distribution."""
    short = "per" if a.unit == "phoneme" else "wer"
    rates, deviations = [], []
    for side in (a, b):
        numbers = [side.number(f"{short}{suffix}") for suffix in ("", "_low", "_high")]
        rate, low, high = numbers
        if rate is None or low is None or high is None:
            raise DataError(
                f"The score of {side.path} has no {short} with its interval.",
                remedy="Run gaudi-asr bench --accuracy --save again.",
            )
        rates.append(rate)
        deviations.append((high - low) / (2 * _quantile(SCORE_LEVEL)))
    difference = rates[1] - rates[0]
    margin = _quantile(level) * sqrt(deviations[0] ** 2 + deviations[1] ** 2)
    utterances = int(a.number("utterances") or 0)
    return PairedTest(
        rate_a=rates[0],
        rate_b=rates[1],
        difference=difference,
        low=difference - margin,
        high=difference + margin,
        p=None,
        utterances=utterances,
        words=_counts(a.score).reference_length,
        groups=utterances,
        resampled="utterances",
    )


def _quantile(level: float) -> float:
    return NormalDist().inv_cdf((1 + level) / 2)


def _counts(score: Mapping[str, Any]) -> ErrorCounts:
    names = ("hits", "substitutions", "deletions", "insertions")
    values = [score.get(name) for name in names]
    return ErrorCounts(*(value if isinstance(value, int) else 0 for value in values))

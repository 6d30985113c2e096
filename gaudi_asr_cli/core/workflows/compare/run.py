"""`compare`: read two sides, pair their utterances, test the difference, and judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from gaudi_asr_cli.core.errors import DataError, UsageError
from gaudi_asr_cli.core.evaluation.counts import count_errors
from gaudi_asr_cli.core.evaluation.paired import (
    PairedCounts,
    compare_paired,
    group_utterances,
    permutation_p,
)
from gaudi_asr_cli.core.evaluation.sclite_costs import count_sclite_errors
from gaudi_asr_cli.core.evaluation.word_changes import TextTriple, find_word_changes
from gaudi_asr_cli.core.records import ErrorCounts
from gaudi_asr_cli.core.text.scripts import find_unspaced
from gaudi_asr_cli.core.workflows.compare.benches import compare_benches
from gaudi_asr_cli.core.workflows.compare.pairing import Pair, Paired, pair_sides
from gaudi_asr_cli.core.workflows.compare.report import (
    ChangedUtterance,
    CompareReport,
    SideSummary,
    measure_speed,
)
from gaudi_asr_cli.core.workflows.compare.sides import Side, name_sides, open_side
from gaudi_asr_cli.core.workflows.compare.slices import slice_pairs
from gaudi_asr_cli.core.workflows.compare.verdict import Decision, judge_difference

MAX_CHANGED = 50
"""Utterances with the largest change that a report holds."""

CompareUnit = Literal["auto", "word", "character"]
Costs = Literal["minimal", "sclite"]


@dataclass(frozen=True, slots=True)
class CompareRequest:
    """The two sides and how they are compared.

    `shared` leaves out utterances that only one side has. `normalizer` normalises the raw texts
    anew. `tolerance` is an absolute difference of error rates, and `speed_tolerance` a share of
    RTFx, that B may be worse by; without the latter the speed of runs is reported, not judged.
    `slices` are columns of the predictions or of `manifest`.
    """

    a: str
    b: str
    shared: bool = False
    normalizer: str | None = None
    unit: CompareUnit = "auto"
    costs: Costs = "minimal"
    slices: tuple[str, ...] = ()
    manifest: Path | None = None
    tolerance: float = 0.0
    speed_tolerance: float | None = None
    level: float = 0.95
    replicates: int = 2000
    seed: int = 42


def compare(request: CompareRequest) -> CompareReport:
    """Compare B with A on the same utterances, and judge whether it is worse.

    Raises:
        DataError: A side cannot be read, or the sides cannot be compared.
        UsageError: A number is out of its range, or there is no such column or normaliser.
    """
    _check_numbers(request)
    a, b = open_side(request.a), open_side(request.b)
    if (a.bench is None) != (b.bench is None):
        run, bench = (a, b) if a.bench is None else (b, a)
        raise DataError(
            f"{bench.path} is a benchmark and {run.path} is not: they measure other things.",
            remedy="Compare two runs, or two results of bench.",
        )
    if a.bench is not None:
        return compare_benches(
            a,
            b,
            tolerance=request.tolerance,
            speed_tolerance=request.speed_tolerance,
            level=request.level,
        )
    paired = pair_sides(a, b, shared=request.shared, normalizer=request.normalizer)
    return _compare_pairs(request, a, b, paired)


def _check_numbers(request: CompareRequest) -> None:
    ranges = (
        ("--tolerance", request.tolerance, 0 <= request.tolerance < 1, "from 0 to 100 points"),
        ("--level", request.level, 0.5 <= request.level < 1, "from 0.5 to below 1"),
        ("--replicates", request.replicates, request.replicates >= 100, "of 100 or more"),
        (
            "--speed-tolerance",
            request.speed_tolerance,
            request.speed_tolerance is None or 0 <= request.speed_tolerance < 1,
            "from 0 to 100 percent",
        ),
    )
    for name, value, is_fine, wanted in ranges:
        if not is_fine:
            raise UsageError(f"{name}: {value} is out of range.", remedy=f"Give a number {wanted}.")


def _compare_pairs(request: CompareRequest, a: Side, b: Side, paired: Paired) -> CompareReport:
    pairs, notes = paired.pairs, list(paired.notes)
    by_character = _counts_characters(request, a, pairs)
    unit = "character" if by_character else a.unit
    counts_a, counts_b = count_pairs(pairs, costs=request.costs, by_character=by_character)
    groups, resampled = group_utterances([one.speaker for one in pairs])
    counts = PairedCounts(
        errors_a=np.array([one.errors for one in counts_a]),
        errors_b=np.array([one.errors for one in counts_b]),
        words=np.array([one.reference_length for one in counts_a]),
        groups=groups,
        resampled=resampled,
    )
    if not counts.words.sum():
        raise DataError(
            "All shared references are empty: there is no error rate to compare.",
            remedy="Compare runs on data with transcripts.",
        )
    if resampled == "utterances" and any(one.speaker is not None for one in pairs):
        notes.append(
            "Too few speakers to resample them: utterances are, and the interval is too narrow if "
            "errors of one speaker are alike."
        )
    differing = [one for one in pairs if one.a != one.b]
    if not differing:
        notes.append("All hypotheses of both sides are equal.")
    test = compare_paired(
        counts, level=request.level, replicates=request.replicates, seed=request.seed
    )
    beyond = permutation_p(counts, request.tolerance, seed=request.seed)
    rate_name = {"word": "WER", "character": "CER", "phoneme": "PER"}[unit]
    names = name_sides(a, b)
    speed = measure_speed(a, b, request.speed_tolerance)
    verdict = judge_difference(
        Decision(test, rate_name, request.tolerance, request.level, beyond), *names
    )
    return CompareReport(
        a=SideSummary.of(a, names[0], sum(counts_a, ErrorCounts())),
        b=SideSummary.of(b, names[1], sum(counts_b, ErrorCounts())),
        rate_name=rate_name,
        unit=unit,
        costs=request.costs,
        normalizer=paired.normalizer,
        test=test,
        level=request.level,
        tolerance=request.tolerance,
        verdict=verdict,
        words=find_word_changes(
            [TextTriple(one.of_a.id, one.reference, one.a, one.b) for one in differing]
        ),
        slices=slice_pairs(
            pairs,
            counts,
            request.slices,
            request.manifest,
            level=request.level,
            seed=request.seed,
        ),
        changed=_find_changed(pairs, counts),
        speed=speed,
        notes=(*notes, *speed.notes),
    )


def _counts_characters(request: CompareRequest, a: Side, pairs: Sequence[Pair]) -> bool:
    """Return whether characters are counted: on request, or in scripts without spaces."""
    if request.unit != "auto":
        return request.unit == "character"
    return a.unit == "word" and find_unspaced(one.reference for one in pairs) is not None


def count_pairs(
    pairs: Sequence[Pair], *, costs: Costs, by_character: bool
) -> tuple[list[ErrorCounts], list[ErrorCounts]]:
    """Return the counts of A and of B for each pair, anew from their texts."""

    def units(text: str) -> list[str]:
        return list(text) if by_character else text.split()

    sides = [
        [(units(one.reference), units(text)) for one, text in zip(pairs, texts, strict=True)]
        for texts in ([one.a for one in pairs], [one.b for one in pairs])
    ]
    if costs == "sclite":
        return count_sclite_errors(sides[0]), count_sclite_errors(sides[1])
    first, second = ([count_errors(*texts) for texts in side] for side in sides)
    return first, second


def _find_changed(pairs: Sequence[Pair], counts: PairedCounts) -> tuple[ChangedUtterance, ...]:
    """Return the utterances whose number of errors changed most; losses first among equals."""
    changes = (counts.errors_b - counts.errors_a).tolist()
    changed = [index for index, change in enumerate(changes) if change]
    changed.sort(key=lambda index: (-abs(changes[index]), -changes[index]))
    return tuple(_describe_change(pairs[index], counts, index) for index in changed[:MAX_CHANGED])


def _describe_change(pair: Pair, counts: PairedCounts, index: int) -> ChangedUtterance:
    return ChangedUtterance(
        id=pair.of_a.id,
        path=pair.of_a.path,
        start_s=pair.of_a.start_s,
        duration_s=pair.duration_s,
        speaker=pair.speaker,
        reference=pair.reference,
        a=pair.a,
        b=pair.b,
        errors_a=int(counts.errors_a[index]),
        errors_b=int(counts.errors_b[index]),
    )

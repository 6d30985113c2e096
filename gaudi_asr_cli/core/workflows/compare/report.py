"""The result of a comparison, its JSON and its exit code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gaudi_asr_cli.core.errors import WORSE
from gaudi_asr_cli.core.evaluation.paired import PairedTest
from gaudi_asr_cli.core.evaluation.word_changes import WordChange, WordChanges
from gaudi_asr_cli.core.records import ErrorCounts
from gaudi_asr_cli.core.workflows.compare.sides import Side
from gaudi_asr_cli.core.workflows.compare.slices import SliceResult
from gaudi_asr_cli.core.workflows.compare.verdict import CompareVerdict

SCHEMA_COMPARE = "compare/1"


@dataclass(frozen=True, slots=True)
class SideSummary:
    """What is known of one side, and its counts; of a benchmark without texts they are None."""

    name: str
    path: Path
    model: str | None
    device: str | None
    counts: ErrorCounts | None

    @classmethod
    def of(cls, side: Side, name: str, counts: ErrorCounts | None) -> SideSummary:
        return cls(name, side.path, side.model, side.device, counts)

    def to_json(self) -> dict[str, Any]:
        counts = {} if self.counts is None else asdict(self.counts)
        return {
            "name": self.name,
            "path": str(self.path),
            "model": self.model,
            "device": self.device,
            **counts,
        }


@dataclass(frozen=True, slots=True)
class ChangedUtterance:
    """An utterance with another number of errors, and where its audio is."""

    id: str
    path: str | None
    start_s: float
    duration_s: float | None
    speaker: str | None
    reference: str
    a: str
    b: str
    errors_a: int
    errors_b: int


@dataclass(frozen=True, slots=True)
class SpeedComparison:
    """RTFx and peak memory of both sides, None where a side does not state it.

    `ratio` is the RTFx of B over that of A. `is_slower` is set where speed is judged and B is
    slower by more than the tolerance.
    """

    rtfx_a: float | None
    rtfx_b: float | None
    ratio: float | None
    memory_mb_a: float | None
    memory_mb_b: float | None
    is_slower: bool = False
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {key: value for key, value in asdict(self).items() if key != "notes"}


def measure_speed(a: Side, b: Side, tolerance: float | None) -> SpeedComparison:
    """Return the speed and memory of two runs; judged only with a tolerance, a share of RTFx."""
    rtfx_a, rtfx_b = a.number("rtfx"), b.number("rtfx")
    ratio = rtfx_b / rtfx_a if rtfx_a and rtfx_b else None
    notes = []
    if a.device != b.device and None not in (a.device, b.device) and ratio is not None:
        notes.append(f"The speeds are of other devices or types: {a.device}, and {b.device}.")
    if tolerance is not None and ratio is None:
        notes.append("Speed is not judged: a side does not state its RTFx.")
    return SpeedComparison(
        rtfx_a=rtfx_a,
        rtfx_b=rtfx_b,
        ratio=ratio,
        memory_mb_a=a.number("peak_memory_mb"),
        memory_mb_b=b.number("peak_memory_mb"),
        is_slower=tolerance is not None and ratio is not None and ratio < 1 - tolerance,
        notes=tuple(notes),
    )


@dataclass(frozen=True, slots=True)
class CompareReport:
    """The whole comparison; `test` is None for benchmarks without a score."""

    a: SideSummary
    b: SideSummary
    rate_name: str
    unit: str
    costs: str
    normalizer: str | None
    test: PairedTest | None
    level: float
    tolerance: float
    verdict: CompareVerdict
    words: WordChanges | None
    slices: tuple[SliceResult, ...]
    changed: tuple[ChangedUtterance, ...]
    speed: SpeedComparison
    notes: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        return WORSE if self.verdict.is_worse or self.speed.is_slower else 0

    def to_json(self) -> dict[str, Any]:
        test = {} if self.test is None else asdict(self.test)
        return {
            "schema": SCHEMA_COMPARE,
            "a": self.a.to_json(),
            "b": self.b.to_json(),
            "rate": self.rate_name.lower(),
            "unit": self.unit,
            "costs": self.costs,
            "normalizer": self.normalizer,
            **test,
            "level": self.level,
            "tolerance": self.tolerance,
            "verdict": self.verdict.outcome,
            "sentence": self.verdict.sentence,
            "worse": self.exit_code == WORSE,
            "words": None if self.words is None else _words_json(self.words),
            "slices": _slices_json(self.slices),
            "changed": [asdict(one) for one in self.changed],
            "speed": self.speed.to_json(),
            "notes": list(self.notes),
        }


def _words_json(words: WordChanges) -> dict[str, Any]:
    def rows(changes: tuple[WordChange, ...]) -> list[dict[str, Any]]:
        return [
            {key: value for key, value in asdict(one).items() if key != "direction"}
            for one in changes
        ]

    return {
        "fixed": words.fixed,
        "broken": words.broken,
        "insertions_a": words.insertions_a,
        "insertions_b": words.insertions_b,
        "most_fixed": rows(words.most_fixed),
        "most_broken": rows(words.most_broken),
    }


def _slices_json(slices: tuple[SliceResult, ...]) -> Mapping[str, Mapping[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for one in slices:
        found.setdefault(one.column, {})[one.part] = {
            **asdict(one.test),
            "p_adjusted": one.p_adjusted,
        }
    return found

"""Training curves of a run, read from its events.jsonl."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

_NEEDED = ('{"event": "StepLogged"', '{"event": "Evaluated"')
StepValues = tuple[tuple[float, float], ...]
"""Step and value, by step."""


@dataclass(frozen=True, slots=True)
class ScoredStep:
    """A score during training; rates are fractions."""

    step: int
    wer: float
    low: float
    high: float
    cer: float | None
    loss: float | None
    best: bool


@dataclass(frozen=True, slots=True)
class TrainingCurves:
    """Step metrics and scores of all sessions; of a step logged twice, the last."""

    loss: StepValues
    learning_rate: StepValues
    rtfx: StepValues
    scores: tuple[ScoredStep, ...]
    rate_name: str


def read_curves(events: Path) -> TrainingCurves | None:
    """Return the curves; None for a run that logged no steps, or without the file."""
    steps: dict[int, Mapping[str, Any]] = {}
    scores: dict[int, ScoredStep] = {}
    rate_name = "WER"
    for event in _read_events(events):
        step = event.get("step")
        if not isinstance(step, int):
            continue
        if event["event"] == "StepLogged":
            steps[step] = event
        else:
            score = event.get("score")
            if isinstance(score, dict):
                rate_name = "PER" if score.get("unit") == "phoneme" else "WER"
                scores[step] = _read_score(step, score, event)
    if not steps and not scores:
        return None
    ordered = sorted(steps.items())
    return TrainingCurves(
        loss=_values(ordered, "loss"),
        learning_rate=_values(ordered, "learning_rate"),
        rtfx=_values(ordered, "audio_s_per_s"),
        scores=tuple(scores[step] for step in sorted(scores)),
        rate_name=rate_name,
    )


def _read_events(path: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the needed events; a line that is cut, as by a full disk, is left out."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            if not line.startswith(_NEEDED):
                continue
            try:
                event = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(event, dict):
                yield event


def _read_score(step: int, score: Mapping[str, Any], event: Mapping[str, Any]) -> ScoredStep:
    wer = _number(score.get("wer")) or 0.0
    low, high = _number(score.get("wer_low")), _number(score.get("wer_high"))
    return ScoredStep(
        step=step,
        wer=wer,
        low=wer if low is None else low,
        high=wer if high is None else high,
        cer=_number(score.get("cer")),
        loss=_number(event.get("loss")),
        best=event.get("best") is True,
    )


def _values(steps: list[tuple[int, Mapping[str, Any]]], name: str) -> StepValues:
    numbers = ((step, _number(event.get(name))) for step, event in steps)
    return tuple((float(step), number) for step, number in numbers if number is not None)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if isfinite(value) else None

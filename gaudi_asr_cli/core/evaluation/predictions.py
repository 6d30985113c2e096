"""Read predictions.jsonl: references and hypotheses as scored, with every further column."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gaudi_asr_cli.core.errors import DataError

_REMEDY = (
    'Each line is an object as eval-ctc writes it: {"id": ..., "reference": ..., "hypothesis": ...}'
)


@dataclass(frozen=True, slots=True)
class Prediction:
    """A line of predictions.jsonl; None where it does not state a value.

    `reference` and `hypothesis` are normalised, the raw ones are not. `confidences` has one value
    for each word of the raw hypothesis. `columns` are all values of the line.
    """

    id: str
    reference: str
    hypothesis: str
    raw_reference: str | None = None
    raw_hypothesis: str | None = None
    path: str | None = None
    start_s: float = 0.0
    duration_s: float | None = None
    speaker: str | None = None
    confidences: tuple[float | None, ...] = ()
    columns: Mapping[str, Any] = field(default_factory=dict)


def read_predictions(path: Path) -> tuple[Prediction, ...]:
    """Read a predictions.jsonl.

    Raises:
        DataError: The file cannot be read or has no lines, or a line is broken; the error names it.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise DataError(f"{path} cannot be read: {reason}.", remedy="Check the path.") from error
    found = tuple(_read_lines(text, path))
    if not found:
        raise DataError(f"{path} has no predictions.", remedy=_REMEDY)
    return found


def _read_lines(text: str, path: Path) -> Iterator[Prediction]:
    # Not splitlines: a text may hold a line separator of Unicode.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise _broken(path, number, f"broken JSON: {error}") from error
        if not isinstance(value, dict):
            raise _broken(path, number, f"a {type(value).__name__} instead of an object")
        yield _parse(value, path, number)


def _parse(value: dict[str, Any], path: Path, number: int) -> Prediction:
    if isinstance(value.get("id"), int):
        value = {**value, "id": str(value["id"])}
    for name in ("id", "reference", "hypothesis"):
        if not isinstance(value.get(name), str):
            raise _broken(path, number, f"{name!r} is missing, or no text")
    return Prediction(
        id=value["id"],
        reference=" ".join(value["reference"].split()),
        hypothesis=" ".join(value["hypothesis"].split()),
        raw_reference=_text(value.get("raw_reference")),
        raw_hypothesis=_text(value.get("raw_hypothesis")),
        path=_text(value.get("path")),
        start_s=_number(value.get("start_s")) or 0.0,
        duration_s=_number(value.get("duration_s")),
        speaker=None if value.get("speaker") is None else str(value["speaker"]),
        confidences=_numbers(value.get("confidences")),
        columns=value,
    )


def _broken(path: Path, number: int, problem: str) -> DataError:
    return DataError(f"{path}, line {number}: {problem}.", remedy=_REMEDY)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if value == value and abs(value) < float("inf") else None


def _numbers(values: Any) -> tuple[float | None, ...]:
    return tuple(map(_number, values)) if isinstance(values, list) else ()

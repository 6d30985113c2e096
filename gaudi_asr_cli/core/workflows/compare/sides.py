"""The two sides of a comparison: a run, a file of predictions, or a saved benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gaudi_asr_cli.core.benchmarking.saved import SCHEMA as BENCH_SCHEMA
from gaudi_asr_cli.core.data.paths import expand_home
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.evaluation.predictions import Prediction, read_predictions
from gaudi_asr_cli.core.json_files import is_special, read_json_object
from gaudi_asr_cli.core.runs import RunFolder

_REMEDY = (
    "Name the folder of a run, a predictions.jsonl, or a result of `gaudi-asr bench --save FILE`."
)
_REPORT_REMEDY = "Is it a report of this program, and whole?"


@dataclass(frozen=True, slots=True)
class Side:
    """One side: `predictions` of a run or a file, or else the `bench`.

    `score` is the JSON of the score that the predictions belong to, `report` that of the whole
    command; both are empty where only predictions are known. `part` is the split of a training run
    that was scored last, `eval` or `test`.
    """

    path: Path
    predictions: tuple[Prediction, ...] = ()
    report: Mapping[str, Any] = field(default_factory=dict)
    score: Mapping[str, Any] = field(default_factory=dict)
    part: str = ""
    bench: Mapping[str, Any] | None = None

    @property
    def normalizer(self) -> str | None:
        return _text(self.score.get("normalizer"))

    @property
    def unit(self) -> str:
        return _text(self.score.get("unit")) or "word"

    @property
    def model(self) -> str | None:
        return _text(self.report.get("model"))

    @property
    def device(self) -> str | None:
        """Device and number type, where known."""
        device, dtype = _text(self.report.get("device")), _text(self.report.get("dtype"))
        return ", ".join(filter(None, (device, dtype))) or None

    def number(self, name: str) -> float | None:
        """Return a number of the score or the report; None if it states none."""
        for values in (self.score, self.report):
            value = values.get(name)
            if isinstance(value, int | float) and not isinstance(value, bool):
                return float(value)
        return None


def open_side(name: str) -> Side:
    """Read what `name` points to.

    Raises:
        DataError: It does not exist, is nothing that can be compared, or is broken.
    """
    path = expand_home(name)
    if not path.exists():
        raise DataError(f"There is no {path}.", remedy=_REMEDY)
    if is_special(path):
        raise DataError(f"{path} is a pipe or a device, not a file.", remedy=_REMEDY)
    if path.is_dir():
        return _open_run(RunFolder(path))
    if path.suffix == ".json":
        return _open_bench(path)
    return _with_report(path, RunFolder(path.parent), read_predictions(path))


def _open_run(run: RunFolder) -> Side:
    if not run.predictions.is_file():
        started = run.recipe.is_file() or run.report.is_file()
        problem = "nothing was scored in this run" if started else "it is not the folder of a run"
        raise DataError(
            f"{run.root} has no {run.predictions.name}: {problem}.",
            remedy=f"Score its model: gaudi-asr eval-ctc --model {run.root} --data DATA --run DIR"
            if started
            else _REMEDY,
        )
    return _with_report(run.root, run, read_predictions(run.predictions))


def _with_report(path: Path, run: RunFolder, predictions: tuple[Prediction, ...]) -> Side:
    """Return the side with the run's report, if the predictions are those of a finished run."""
    if not run.report.is_file() or (path != run.root and path.name != run.predictions.name):
        return Side(path, predictions)
    report = read_json_object(run.report, remedy=_REPORT_REMEDY)
    for part in ("test", "eval"):
        score = report.get(part)
        if isinstance(score, dict):
            return Side(path, predictions, report, score, part)
    return Side(path, predictions, report, report)


def _open_bench(path: Path) -> Side:
    result = read_json_object(path, remedy=_REMEDY)
    if result.get("schema") != BENCH_SCHEMA:
        raise DataError(f"{path} is not a result of bench.", remedy=_REMEDY)
    score = result.get("score")
    return Side(path, report=result, score=score if isinstance(score, dict) else {}, bench=result)


def name_sides(a: Side, b: Side) -> tuple[str, str]:
    """Return short names that tell the two apart: as few last parts of their paths as needed."""
    parts_a, parts_b = _parts(a.path), _parts(b.path)
    for length in range(1, max(len(parts_a), len(parts_b)) + 1):
        names = "/".join(parts_a[-length:]), "/".join(parts_b[-length:])
        if names[0] != names[1]:
            return names
    return "A", "B"


def _parts(path: Path) -> tuple[str, ...]:
    parts = path.resolve().parts[1:]
    # A run's predictions are best known by the run.
    return parts[:-1] if path.name == "predictions.jsonl" and len(parts) > 1 else parts


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None

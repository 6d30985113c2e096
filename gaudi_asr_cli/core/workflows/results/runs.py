"""Results of the runs of a folder, read from the reports of all commands."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter

from gaudi_asr_cli.core.recipes.catalogue import name_data
from gaudi_asr_cli.core.runs import RunFolder

MAX_FOLDER_DEPTH = 4
"""Levels of folders below the given one that are searched for runs."""
BENCH, TRAINING = "bench", ("finetune-ctc", "finetune-seq2seq")


@dataclass(frozen=True, slots=True)
class RunResult:
    """One score of one run; None if the report does not state a value.

    `part` is `eval` or `test` of a training run; `base` is the model that was fine-tuned; `train`
    and `data` are the training data and the scored data. `rate` is the error rate of `unit`, word
    or phoneme; `cer` is the character error rate and `loss` that on the scored data.
    `recipe` is the resolved recipe of the run.
    """

    run: Path
    kind: str
    part: str = ""
    model: str | None = None
    base: str | None = None
    train: str | None = None
    data: str | None = None
    split: str | None = None
    unit: str = "word"
    rate: float | None = None
    rate_low: float | None = None
    rate_high: float | None = None
    cer: float | None = None
    loss: float | None = None
    normalizer: str | None = None
    utterances: int | None = None
    utterances_total: int | None = None
    device: str | None = None
    cards: int = 1
    dtype: str | None = None
    minutes: float | None = None
    rtfx: float | None = None
    recipe: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        values = {**asdict(self), "run": str(self.run)}
        return {key: value for key, value in values.items() if key != "recipe"}


@dataclass(frozen=True, slots=True)
class Found:
    """Scores of finished runs, and the folders of runs that did not finish or cannot be read."""

    results: tuple[RunResult, ...]
    unfinished: tuple[Path, ...]
    unreadable: tuple[Path, ...]


def read_runs(folder: Path) -> Found:
    """Read every run in or below `folder`, by path; `folder` may be a run itself."""
    results: list[RunResult] = []
    unfinished: list[Path] = []
    unreadable: list[Path] = []
    for path in sorted(_find_reports(folder)):
        if path.is_dir():
            unfinished.append(path)
            continue
        try:
            results += map(_checked, _read_report(path))
        except (*_UNREADABLE, yaml.YAMLError):
            # A report of another version, or truncated by a full disk: listed, not fatal.
            unreadable.append(path)
    return Found(tuple(results), tuple(unfinished), tuple(unreadable))


_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, OSError, RecursionError)


def _checked(result: RunResult) -> RunResult:
    """Return the result, if its values have the types that tables and comparisons need.

    Raises:
        ValueError: One has not.
    """
    values = {one.name: getattr(result, one.name) for one in fields(RunResult)}
    return TypeAdapter(RunResult).validate_python(values)


def _find_reports(folder: Path) -> Iterator[Path]:
    """Yield reports of runs, files of `bench --save`, and run folders without a report."""
    for path, inner, files in os.walk(folder):
        here = RunFolder(Path(path))
        if here.report.name in files or here.recipe.name in files:
            inner.clear()
            yield here.report if here.report.name in files else here.root
            continue
        if len(here.root.relative_to(folder).parts) >= MAX_FOLDER_DEPTH:
            inner.clear()
        yield from (here.root / name for name in files if _is_saved_bench(here.root / name))


def _is_saved_bench(path: Path) -> bool:
    if path.suffix != ".json":
        return False
    try:
        with path.open("rb") as file:
            return b'"schema": "bench/' in file.read(200)
    except OSError:
        return False


def _read_report(path: Path) -> list[RunResult]:
    report = json.loads(_read_text(path))
    schema = str(report["schema"]).partition("/")[0]
    if schema == BENCH:
        return [_of_bench(path, report)]
    if schema in TRAINING:
        return _of_training(RunFolder(path.parent), schema, report)
    return [_of_evaluation(path.parent, schema, report)]


def _read_text(path: Path) -> str:
    if not path.is_file():
        # A pipe would be waited for.
        raise FileNotFoundError(path)
    return path.read_text(encoding="utf-8")


def _of_bench(path: Path, report: Mapping[str, Any]) -> RunResult:
    return RunResult(
        run=path,
        kind=BENCH,
        model=report["model"],
        base=report["model"],
        data=report["sound"],
        device=report["device_name"],
        dtype=report["dtype"],
        rtfx=report["rtfx"],
        utterances=report["utterances"],
        utterances_total=report["utterances"],
        **_rates(report.get("score") or {}),
    )


def _of_training(run: RunFolder, kind: str, report: Mapping[str, Any]) -> list[RunResult]:
    recipe = yaml.safe_load(_read_text(run.recipe))
    environment = _read_environment(run)
    common: dict[str, Any] = {
        "run": run.root,
        "kind": kind,
        "model": str(run.model),
        "base": report["base"],
        "train": name_data(recipe["train"]),
        "device": environment.get("device", {}).get("description") or report["device"],
        "cards": environment.get("ranks", 1),
        "dtype": report["dtype"],
        "minutes": report["wall_s"] / 60,
        "recipe": recipe,
    }
    scored = [
        RunResult(
            **common,
            part=part,
            data=name_data(recipe.get(part) or {}),
            split=_name_split(recipe.get(part) or {}),
            **_coverage(report[part]),
            **_rates(report[part]),
            loss=report[part].get("loss"),
            rtfx=report[part]["rtfx"],
        )
        for part in ("eval", "test")
        if report.get(part)
    ]
    return scored or [RunResult(**common)]


def _of_evaluation(root: Path, kind: str, report: Mapping[str, Any]) -> RunResult:
    trained = _trained_by(report["model"])
    data = report.get("data") or {}
    return RunResult(
        run=root,
        kind=kind,
        model=report["model"],
        base=trained["model"] if trained else report["model"],
        train=name_data(trained["train"]) if trained else None,
        data=name_data(data) or None,
        split=_name_split(data),
        device=report["device"],
        dtype=report["dtype"],
        rtfx=report["rtfx"],
        recipe=trained,
        **_coverage(report),
        **_rates(report),
    )


def _name_split(section: Mapping[str, Any]) -> str | None:
    """Return the split, named by its key or in the data: `demo#test`."""
    data = section.get("data") or ""
    sources = [data] if isinstance(data, str) else data
    written = {str(source).partition("#")[2] for source in sources}
    return section.get("split") or ("+".join(sorted(written)) or None)


def _rates(score: Mapping[str, Any]) -> dict[str, Any]:
    unit = score.get("unit", "word")
    short = "per" if unit == "phoneme" else "wer"
    return {
        "unit": unit,
        "rate": score.get(short),
        "rate_low": score.get(f"{short}_low"),
        "rate_high": score.get(f"{short}_high"),
        "cer": score.get("cer"),
        "normalizer": score.get("normalizer"),
    }


def _coverage(score: Mapping[str, Any]) -> dict[str, Any]:
    return {key: score[key] for key in ("utterances", "utterances_total")}


def _read_environment(run: RunFolder) -> dict[str, Any]:
    try:
        environment: dict[str, Any] = json.loads(_read_text(run.environment))
    except (OSError, ValueError):
        return {}
    return environment


def _trained_by(model: str) -> Mapping[str, Any] | None:
    """Return the recipe of the run that trained the model, if its folder still exists."""
    for root in (Path(model), Path(model).parent):
        recipe = RunFolder(root).recipe
        if recipe.is_file():
            values = yaml.safe_load(recipe.read_text(encoding="utf-8"))
            return values if isinstance(values, dict) and "train" in values else None
    return None

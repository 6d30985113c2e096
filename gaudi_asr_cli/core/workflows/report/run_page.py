"""What the page of a run shows, read from its folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from typing import Any

from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.evaluation.calibration import measure_calibration
from gaudi_asr_cli.core.evaluation.confusions import count_confusions
from gaudi_asr_cli.core.evaluation.counts import count_errors
from gaudi_asr_cli.core.evaluation.predictions import Prediction, read_predictions
from gaudi_asr_cli.core.json_files import read_json_object
from gaudi_asr_cli.core.records import ErrorCounts
from gaudi_asr_cli.core.runs import RunFolder
from gaudi_asr_cli.core.workflows.report.aligned import align_for_page
from gaudi_asr_cli.core.workflows.report.charts import ChartLine, draw_calibration, draw_lines
from gaudi_asr_cli.core.workflows.report.curves import TrainingCurves, read_curves
from gaudi_asr_cli.core.workflows.report.players import embed_audio

MAX_WORST = 50
MAX_SLICES = 40
MAX_CONFUSIONS = 20

Content = dict[str, Any]


def describe_run(run: RunFolder, *, audio: bool) -> Content:
    """Return the content of a run's page.

    Raises:
        DataError: The folder holds nothing to report.
    """
    report = (
        read_json_object(run.report, remedy="Is the report whole?") if run.report.is_file() else {}
    )
    curves = read_curves(run.events)
    predictions = read_predictions(run.predictions) if run.predictions.is_file() else ()
    if not report and curves is None and not predictions:
        raise DataError(
            f"{run.root} is not the folder of a run: it has no {run.report.name}, "
            f"{run.predictions.name} or {run.events.name}.",
            remedy="Name the folder of a run, or the file of compare --save.",
        )
    scores = _scores(report)
    unit = next((score.get("unit") for _, score in scores), "word")
    return {
        "kind": "run",
        "title": run.root.resolve().name,
        "unfinished": not report,
        "facts": list(_facts(report, _environment(run))),
        "scores": [_describe_score(name, score) for name, score in scores],
        "curves": [] if curves is None else _charts(curves),
        "steps": [] if curves is None else curves.scores,
        "rate": "PER" if unit == "phoneme" else "WER",
        "slices": _slices(scores[0][1]) if scores else [],
        "confusions": count_confusions(predictions, MAX_CONFUSIONS),
        "calibration": _calibration(predictions),
        "utterances": len(predictions),
        "worst": [_describe_worst(*one, audio=audio) for one in find_most_errors(predictions)],
        "audio": audio,
        "notes": [note for _, score in scores[:1] for note in score.get("notes") or ()],
    }


def _environment(run: RunFolder) -> Mapping[str, Any]:
    if not run.environment.is_file():
        return {}
    return read_json_object(run.environment, remedy="Is environment.json whole?")


def _scores(report: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the scores by name; that of the predictions comes first."""
    parts = [(name, report.get(name)) for name in ("test", "eval")]
    named: list[tuple[str, Mapping[str, Any]]] = [
        (name, score) for name, score in parts if isinstance(score, dict)
    ]
    if named:
        return named
    return [("", report)] if "normalizer" in report else []


def _facts(report: Mapping[str, Any], environment: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    trained = report.get("train")
    training: Mapping[str, Any] = trained if isinstance(trained, dict) else {}
    values = {
        "command": " ".join(map(str, environment.get("command") or ())),
        "base model": report.get("base"),
        "model": report.get("model"),
        "data": _name_data(report.get("data")),
        "device": report.get("device"),
        "type": report.get("dtype"),
        "seed": report.get("seed"),
        "steps": _grouped(report.get("steps")),
        "best step": _grouped(report.get("best_step")),
        "epochs": _rounded(report.get("epochs"), ".2f"),
        "audio trained on": _hours(training.get("audio_s")),
        "speed of training": _rounded(training.get("audio_s_per_s"), ",.1f", " RTFx"),
        "wall time": _hours(report.get("wall_s")),
        "peak memory": _rounded(report.get("peak_memory_mb"), ",.0f", " MB"),
        "versions": ", ".join(
            f"{name} {number}"
            for name, number in (environment.get("versions") or {}).items()
            if number
        ),
    }
    yield from ((name, str(value)) for name, value in values.items() if value not in (None, ""))


def _name_data(data: Any) -> str:
    if not isinstance(data, dict):
        return ""
    sources = data.get("data") or []
    names = [sources] if isinstance(sources, str) else sources
    parts = [*map(str, names), *(str(data[key]) for key in ("config", "split") if data.get(key))]
    return " ".join(parts)


def _grouped(value: Any) -> str:
    return _rounded(value, ",.0f")


def _rounded(value: Any, style: str, unit: str = "") -> str:
    number = _number(value)
    return "" if number is None else f"{number:{style}}{unit}"


def _hours(value: Any) -> str:
    seconds = _number(value)
    if seconds is None:
        return ""
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if isfinite(value) else None


def _describe_score(name: str, score: Mapping[str, Any]) -> Content:
    short = "per" if score.get("unit") == "phoneme" else "wer"
    numbers = {key: _number(score.get(f"{short}{key}")) for key in ("", "_low", "_high")}
    return {
        "name": name,
        "rate_name": short.upper(),
        "rate": numbers[""],
        "low": numbers["_low"],
        "high": numbers["_high"],
        "cer": _number(score.get("cer")),
        "substitutions": _grouped(score.get("substitutions")),
        "deletions": _grouped(score.get("deletions")),
        "insertions": _grouped(score.get("insertions")),
        "units": _grouped(score.get(f"reference_{score.get('unit', 'word')}s")),
        "utterances": _grouped(score.get("utterances")),
        "total": _grouped(score.get("utterances_total")),
        "normalizer": str(score.get("normalizer") or "not known"),
        "rtfx": _rounded(score.get("rtfx"), ",.1f"),
    }


def _charts(curves: TrainingCurves) -> list[tuple[str, str]]:
    """Return title and SVG of each chart that has points."""
    scores = curves.scores
    losses = [(float(one.step), one.loss) for one in scores if one.loss is not None]
    rates = ChartLine(
        curves.rate_name,
        [(float(one.step), one.wer) for one in scores],
        [(one.low, one.high) for one in scores],
    )
    cers = [(float(one.step), one.cer) for one in scores if one.cer is not None]
    rate_title = f"{curves.rate_name} with 95 % interval"
    charts = (
        ("loss", [ChartLine("training", curves.loss), ChartLine("evaluation", losses)], _plain),
        (rate_title, [rates, *([ChartLine("CER", cers)] if cers else [])], _percent),
        ("learning rate", [ChartLine("learning rate", curves.learning_rate)], lambda x: f"{x:.2g}"),
        ("training speed, RTFx", [ChartLine("RTFx", curves.rtfx)], _plain),
    )
    drawn = [(title, draw_lines(title, lines, label)) for title, lines, label in charts]
    return [(title, svg) for title, svg in drawn if svg]


def _plain(value: float) -> str:
    return f"{value:,.4g}"


def _percent(value: float) -> str:
    return f"{100 * value:.4g} %"


def _slices(score: Mapping[str, Any]) -> list[Content]:
    """Return each slice with its parts; the worst of many."""
    found = []
    slices = score.get("slices")
    for name, parts in (slices if isinstance(slices, dict) else {}).items():
        rows = [_describe_part(part, numbers) for part, numbers in parts.items()]
        shown = rows
        if len(rows) > MAX_SLICES:
            shown = sorted(rows, key=lambda row: -row["rate"])[:MAX_SLICES]
        top = max((row["rate"] for row in shown), default=0) or 1
        for row in shown:
            row["share"] = round(100 * row["rate"] / top, 1)
        found.append({"name": name, "rows": shown, "total": len(rows)})
    return found


def _describe_part(part: str, numbers: Mapping[str, Any]) -> Content:
    rate = numbers.get("per", numbers.get("wer"))
    return {
        "part": part,
        "utterances": _grouped(numbers.get("utterances")),
        "audio": _hours(numbers.get("audio_s")),
        "rate": _number(rate) or 0.0,
        "cer": _number(numbers.get("cer")),
    }


def _calibration(predictions: Sequence[Prediction]) -> Content | None:
    found = measure_calibration(predictions)
    if found is None:
        return None
    return {
        "chart": draw_calibration(found),
        "error": found.error,
        "words": f"{found.words:,}",
        "left_out": found.left_out,
    }


def find_most_errors(
    predictions: Sequence[Prediction], limit: int = MAX_WORST
) -> list[tuple[Prediction, ErrorCounts]]:
    """Return the predictions with the most word errors, and their counts."""
    counted = [
        (one, count_errors(one.reference.split(), one.hypothesis.split())) for one in predictions
    ]
    wrong = [(one, counts) for one, counts in counted if counts.errors]
    wrong.sort(key=lambda pair: (-pair[1].errors, -pair[1].rate, pair[0].id))
    return wrong[:limit]


def _describe_worst(one: Prediction, counts: ErrorCounts, *, audio: bool) -> Content:
    return {
        "id": one.id,
        "path": one.path,
        "speaker": one.speaker,
        "duration": _hours(one.duration_s),
        "errors": f"{counts.errors:,} of {counts.reference_length:,}",
        "texts": [("", align_for_page(one.reference, one.hypothesis))],
        "audio": embed_audio(one.path, one.start_s, one.duration_s) if audio else None,
    }

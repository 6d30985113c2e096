"""What the page of a saved comparison shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.json_files import read_json_object
from gaudi_asr_cli.core.workflows.compare.report import SCHEMA_COMPARE
from gaudi_asr_cli.core.workflows.report.aligned import align_for_page
from gaudi_asr_cli.core.workflows.report.players import embed_audio
from gaudi_asr_cli.core.workflows.report.run_page import MAX_SLICES, Content

_REMEDY = "Save one: gaudi-asr compare A B --save FILE. Of a run, name its folder."


def describe_comparison(path: Path, *, audio: bool) -> Content:
    """Return the content of a comparison's page.

    Raises:
        DataError: The file is not a whole comparison.
    """
    result = read_json_object(path, remedy=_REMEDY)
    if result.get("schema") != SCHEMA_COMPARE:
        raise DataError(f"{path} is not a result of compare.", remedy=_REMEDY)
    try:
        return _describe(result, audio=audio)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"{path} is not a whole result of compare: {error}.", remedy=_REMEDY
        ) from error


def _describe(result: Mapping[str, Any], *, audio: bool) -> Content:
    a, b = result["a"], result["b"]
    return {
        "kind": "comparison",
        "title": f"{b['name']} compared with {a['name']}",
        "sentence": result["sentence"],
        "worse": result["worse"],
        "sides": [
            {**side, "rate": result.get(f"rate_{letter.lower()}"), "letter": letter}
            for letter, side in (("A", a), ("B", b))
        ],
        "rate": str(result["rate"]).upper(),
        "test": result if result.get("difference") is not None else None,
        "level": result["level"],
        "facts": [*_facts(result)],
        "slices": [*_slices(result["slices"])],
        "words": result["words"],
        "speed": result["speed"],
        "worst": [
            _describe_change(one, a["name"], b["name"], audio=audio) for one in result["changed"]
        ],
        "audio": audio,
        "notes": result["notes"],
    }


def _facts(result: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for letter in ("a", "b"):
        side = result[letter]
        known = (side["path"], side.get("model"), side.get("device"))
        yield letter.upper(), ", ".join(str(one) for one in known if one)
    yield "normaliser", str(result["normalizer"] or "not known")
    yield "costs", f"{result['costs']}, counted in {result['unit']}s"
    yield "tolerance", f"{100 * result['tolerance']:g} points"
    if "groups" in result:
        yield "resampled", f"{result['groups']:,} {result['resampled']}"


def _slices(slices: Mapping[str, Any]) -> Iterator[Content]:
    for name, parts in slices.items():
        rows = [{"part": part, **numbers} for part, numbers in parts.items()]
        shown = rows
        if len(rows) > MAX_SLICES:
            shown = sorted(rows, key=lambda row: -abs(row["difference"]))[:MAX_SLICES]
        yield {"name": name, "rows": shown, "total": len(rows)}


def _describe_change(one: Mapping[str, Any], name_a: str, name_b: str, *, audio: bool) -> Content:
    path, duration_s = one.get("path"), one.get("duration_s")
    is_known = isinstance(duration_s, int | float)
    return {
        "id": one["id"],
        "path": path,
        "speaker": one.get("speaker"),
        "duration": f"{duration_s:.1f} s" if is_known else "",
        "errors": f"{one['errors_a']:,} to {one['errors_b']:,}",
        "texts": [
            (f"A, {name_a}", align_for_page(one["reference"], one["a"])),
            (f"B, {name_b}", align_for_page(one["reference"], one["b"])),
        ],
        "audio": embed_audio(path, float(one.get("start_s") or 0), duration_s) if audio else None,
    }

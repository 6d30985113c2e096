"""Parts of the utterances that are compared on their own: by duration, speaker, or any column."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from gaudi_asr_cli.core.data.layouts.columns import AUDIO_COLUMNS, ID_COLUMNS, Row, find_first
from gaudi_asr_cli.core.data.layouts.manifest import read_json_lines
from gaudi_asr_cli.core.data.layouts.table import TABLE_SUFFIXES, read_table_rows
from gaudi_asr_cli.core.errors import DataError, UsageError
from gaudi_asr_cli.core.evaluation.paired import (
    MIN_PAIRED_SPEAKERS,
    PairedCounts,
    PairedTest,
    compare_paired,
    holm,
)
from gaudi_asr_cli.core.evaluation.score import duration_label
from gaudi_asr_cli.core.workflows.compare.pairing import Pair

MAX_NUMBERS = 12
"""A column with more different numbers than this is cut at its quartiles."""
NO_VALUE_LABEL = "(no value)"
DEFAULT_SLICES = ("duration", "speaker")
SLICE_PERMUTATIONS = 2000

Values = Sequence[Any]


@dataclass(frozen=True, slots=True)
class SliceResult:
    """The test on a part of the utterances; `p_adjusted` is for all parts of the same column."""

    column: str
    part: str
    test: PairedTest
    p_adjusted: float


def read_manifest_columns(path: Path, pairs: Sequence[Pair]) -> list[Mapping[str, Any]]:
    """Return the row of a manifest or table for each pair.

    A row belongs to the utterance of its id column, or else of its audio file's name; rows of the
    same name are taken in order.

    Raises:
        DataError: The file cannot be read, or utterances have no row in it.
    """
    if not path.is_file():
        raise DataError(f"There is no file {path}.", remedy="Check the path of --manifest.")
    rows = read_table_rows(path) if path.suffix.lower() in TABLE_SUFFIXES else read_json_lines(path)
    keyed = dict(_key_rows(rows))
    found: list[Mapping[str, Any]] = []
    seen: Counter[str] = Counter()
    for pair in pairs:
        name = pair.of_a.id
        key = (name, seen[name])
        seen[name] += 1
        if key not in keyed:
            raise DataError(
                f"{path} has no row for utterance {name}.",
                remedy="Name the manifest of the data that was scored; rows are found by a column "
                f"{' or '.join(ID_COLUMNS[:2])}, or by the name of the audio file.",
            )
        found.append(keyed[key])
    return found


def _key_rows(rows: Iterable[Row]) -> Iterator[tuple[tuple[str, int], Mapping[str, Any]]]:
    seen: Counter[str] = Counter()
    for _, cells in rows:
        names = tuple(cells)
        by_id, by_path = find_first(ID_COLUMNS, names), find_first(AUDIO_COLUMNS, names)
        name = str(cells[by_id]).strip() if by_id else Path(str(cells.get(by_path or ""))).stem
        yield (name, seen[name]), cells
        seen[name] += 1


def slice_pairs(
    pairs: Sequence[Pair],
    counts: PairedCounts,
    columns: Sequence[str],
    manifest: Path | None,
    *,
    level: float = 0.95,
    seed: int = 42,
) -> tuple[SliceResult, ...]:
    """Compare both sides on parts of the utterances.

    Args:
        pairs: The utterances.
        counts: Their errors, in the same order.
        columns: Columns of the predictions or of the manifest, besides duration and speaker.
        manifest: A list with further columns.
        level: Level of the intervals.
        seed: Random seed of the tests.

    Raises:
        UsageError: There is no such column.
        DataError: The manifest does not fit the utterances.
    """
    rows = [] if manifest is None else read_manifest_columns(manifest, pairs)
    results: list[SliceResult] = []
    for column in dict.fromkeys((*DEFAULT_SLICES, *columns)):
        values = _find_values(column, pairs, rows)
        if values is None and column in DEFAULT_SLICES:
            continue
        if values is None:
            raise _unknown_column(column, pairs, rows)
        labels = _label_durations(values) if column == "duration" else label_values(values)
        results += _compare_parts(column, labels, counts, level, seed)
    return tuple(results)


def _find_values(
    column: str, pairs: Sequence[Pair], rows: Sequence[Mapping[str, Any]]
) -> Values | None:
    """Return the value of each utterance; None if no utterance has one."""
    own: dict[str, Callable[[Pair], Any]] = {
        "duration": lambda pair: pair.duration_s,
        "speaker": lambda pair: pair.speaker,
    }
    sources: list[Values] = [[pair.of_a.columns.get(column) for pair in pairs]]
    sources += [[row.get(column) for row in rows]] if rows else []
    sources += [[pair.of_b.columns.get(column) for pair in pairs]]
    if column in own:
        sources.insert(0, [own[column](pair) for pair in pairs])
    return next((one for one in sources if any(value is not None for value in one)), None)


def _unknown_column(
    column: str, pairs: Sequence[Pair], rows: Sequence[Mapping[str, Any]]
) -> UsageError:
    known = dict.fromkeys((*DEFAULT_SLICES, *pairs[0].of_a.columns, *(rows[0] if rows else ())))
    return UsageError(
        f"--slice {column}: no utterance has a value in a column of this name.",
        remedy=f"The columns are {', '.join(known)}; --manifest FILE adds those of a manifest.",
    )


def _label_durations(values: Values) -> list[str]:
    return [NO_VALUE_LABEL if value is None else duration_label(value) for value in values]


def label_values(values: Values) -> list[str]:
    """Return the part that each value belongs to; many different numbers are cut at quartiles."""
    numbers = [_as_number(value) for value in values]
    known = [one for one in numbers if one is not None]
    all_numbers = len(known) == sum(value not in (None, "") for value in values)
    if not all_numbers or len(set(known)) <= MAX_NUMBERS:
        return [NO_VALUE_LABEL if value in (None, "") else _name_value(value) for value in values]
    edges = np.unique(np.quantile(np.asarray(known), [0, 0.25, 0.5, 0.75, 1]))
    names = [f"{low:.4g} to {high:.4g}" for low, high in pairwise(edges)]
    return [
        NO_VALUE_LABEL
        if number is None
        else names[min(int(np.searchsorted(edges[1:], number)), len(names) - 1)]
        for number in numbers
    ]


def _as_number(value: Any) -> float | None:
    try:
        number = float(value) if isinstance(value, int | float | str) else float("nan")
    except ValueError:
        return None
    return number if abs(number) < float("inf") else None


def _name_value(value: Any) -> str:
    return value if isinstance(value, str) else f"{value}"


def _compare_parts(
    column: str, labels: Sequence[str], counts: PairedCounts, level: float, seed: int
) -> list[SliceResult]:
    """Return the result of each part, in order of the labels' first number, then of their text."""
    array = np.asarray(labels)
    tests: dict[str, PairedTest] = {}
    for label in sorted(set(labels), key=_sort_key):
        part = counts.select(np.flatnonzero(array == label))
        if len(np.unique(part.groups)) < MIN_PAIRED_SPEAKERS:
            part = part.by_utterance()
        tests[label] = compare_paired(part, level=level, permutations=SLICE_PERMUTATIONS, seed=seed)
    adjusted = holm([1.0 if test.p is None else test.p for test in tests.values()])
    return [
        SliceResult(column, label, test, p)
        for (label, test), p in zip(tests.items(), adjusted, strict=True)
    ]


def _sort_key(label: str) -> tuple[bool, float, str]:
    number = _as_number(label.split(" ")[0].split("-")[0].removesuffix("+"))
    return label == NO_VALUE_LABEL, float("inf") if number is None else number, label

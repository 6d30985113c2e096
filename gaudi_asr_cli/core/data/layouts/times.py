"""The part of a file that a row refers to: columns of start, end and duration, in any unit."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from gaudi_asr_cli.core.data.rejected import RowError
from gaudi_asr_cli.core.errors import DataError

TimeRole = Literal["start", "end", "duration"]
TimeUnit = Literal["s", "ms", "samples"]

ROUNDING_S = 0.02
"""Start, end and duration rounded to hundredths may differ by this much."""

LONGEST_RECORDING_S = 1e9
"""Thirty years: more is a broken number, not a time."""

_ROLES: dict[str, TimeRole] = {
    **dict.fromkeys(
        ("start", "begin", "onset", "xmin", "tmin", "t0", "starttime", "begintime"), "start"
    ),
    **dict.fromkeys(("end", "stop", "finish", "xmax", "tmax", "t1", "endtime", "stoptime"), "end"),
    **dict.fromkeys(("duration", "dur", "length", "len"), "duration"),
}
_UNITS: dict[str, TimeUnit] = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("ms", "msec", "msecs", "millis", "millisecond", "milliseconds"), "ms"),
    **dict.fromkeys(("sample", "samples"), "samples"),
}
_NEUTRAL = {
    *("time", "timestamp", "ts", "t", "at", "pos", "position", "offset"),
    *("audio", "clip", "seg", "segment", "utt", "utterance", "chunk", "turn", "speech"),
    *("in", "num", "n", "nb"),
}
"""Words in a column's name, besides its role, that do not change its meaning."""

_SUSPICIOUS = {
    *("start", "starts", "starttime", "begin", "begins", "begintime", "onset"),
    *("end", "ends", "endtime", "stop", "stops", "stoptime", "finish", "offset", "offsets"),
    *("duration", "durations", "dur", "length", "len", "frame", "frames", "nframes"),
    *("from", "to", "until", "till", "seek", "skip"),
}
_RANGES = {
    *("segment", "segments", "span", "spans", "interval", "range", "time"),
    *("timestamp", "timestamps"),
}
_CHANNELS = {"channel", "channels", "chan", "ch"}
_CHANNEL_NAMES = {"left", "right", "l", "r", "a", "b"}
_COUNTS = {"num", "n", "nb", "count", "number"}

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_CLOCK = re.compile(r"(?:(\d+):)?(\d+):(\d{1,2}(?:\.\d+)?)")
_RANGE = re.compile(r"\d+\.\d+\s*[-,;:]\s*\d+\.\d+")


@dataclass(frozen=True, slots=True)
class TimeColumn:
    """A column that limits audio: its role and unit."""

    name: str
    role: TimeRole
    unit: TimeUnit


@dataclass(frozen=True, slots=True)
class TimeColumns:
    """Columns that limit audio, and those that seem to but are not understood."""

    known: tuple[TimeColumn, ...]
    unclear: tuple[str, ...]

    @classmethod
    def find(cls, names: Sequence[str]) -> TimeColumns:
        """Recognise the columns by their names."""
        known = [column for column in map(_recognise, names) if column is not None]
        starts = any(column.role != "duration" for column in known)
        # Without a start a bare `length` may be that of the text.
        known = [column for column in known if starts or not _is_bare_length(column.name)]
        taken = {column.name for column in known}
        unclear = tuple(n for n in names if n not in taken and _may_limit(_words(n)))
        return cls(tuple(known), unclear)

    def without_length(self) -> TimeColumns:
        """Return a copy without a column `length` that is not understood."""
        return replace(self, unclear=tuple(n for n in self.unclear if not _is_bare_length(n)))

    @property
    def names(self) -> list[str]:
        return [*(column.name for column in self.known), *self.unclear]


def read_times(
    cells: Mapping[str, Any], columns: TimeColumns, rate_hz: Callable[[], int]
) -> tuple[float, float | None]:
    """Return start and duration of the row's audio (duration None: to the end of the file).

    Args:
        cells: The row.
        columns: Its columns that limit audio.
        rate_hz: Returns the sample rate; called where a time is in samples.

    Raises:
        RowError: A time is invalid, times contradict each other, or the duration is zero.
    """
    found: dict[TimeRole, list[tuple[str, float]]] = {"start": [], "end": [], "duration": []}
    for column in columns.known:
        value = _read_seconds(cells.get(column.name), column, rate_hz)
        if value is not None:
            found[column.role].append((column.name, value))
    for same in found.values():
        _reject_disagreement(same)
    start_s = found["start"][0][1] if found["start"] else 0.0
    return start_s, _find_duration_s(start_s, found)


def reject_unclear(cells: Mapping[str, Any], columns: TimeColumns, where: str) -> None:
    """Reject a list with a column that seems to limit audio and is not understood.

    Raises:
        DataError: There is such a column; the error names it.
    """
    for name in columns.unclear:
        value = cells.get(name)
        if _limits(_words(name), value):
            raise DataError(
                f"{where}: the column {name!r} ({_shorten(value)}) seems to limit the audio, but "
                "its meaning is not known.",
                remedy=_advise(_words(name)),
            )


def _find_duration_s(
    start_s: float, found: Mapping[TimeRole, Sequence[tuple[str, float]]]
) -> float | None:
    durations, ends = found["duration"], found["end"]
    if ends and ends[0][1] <= start_s:
        raise RowError(
            f"it starts at {start_s:g} s and ends at {ends[0][1]:g} s, so there is no audio in it"
        )
    if durations and durations[0][1] == 0:
        raise RowError(f"it starts at {start_s:g} s and lasts 0 s, so there is no audio in it")
    if not ends:
        return durations[0][1] if durations else None
    between_s = ends[0][1] - start_s
    if durations and abs(durations[0][1] - between_s) > ROUNDING_S:
        (end, end_s), (duration, duration_s) = ends[0], durations[0]
        raise RowError(
            f"it starts at {start_s:g} s, by {end!r} it ends at {end_s:g} s, and by "
            f"{duration!r} it lasts {duration_s:g} s"
        )
    return durations[0][1] if durations else round(between_s, 9)


def _reject_disagreement(same: Sequence[tuple[str, float]]) -> None:
    for name, value in same[1:]:
        first, first_value = same[0]
        if abs(value - first_value) > ROUNDING_S:
            raise RowError(f"{first!r} is {first_value:g} s and {name!r} is {value:g} s")


def _recognise(name: str) -> TimeColumn | None:
    words = _words(name)
    units = [_UNITS[word] for word in words if word in _UNITS]
    rest = [word for word in words if word not in _UNITS]
    roles: set[TimeRole] = {_ROLES[word] for word in rest if word in _ROLES}
    if not roles and "offset" in rest:
        roles = {"start"}
    # num_samples, n_samples: a number of samples, so a duration.
    if not roles and units == ["samples"] and rest and set(rest) <= _COUNTS:
        roles = {"duration"}
    strange = [word for word in rest if word not in _ROLES and word not in _NEUTRAL]
    if len(roles) != 1 or strange or len(units) > 1:
        return None
    return TimeColumn(name, roles.pop(), units[0] if units else "s")


def _words(name: str) -> list[str]:
    """Return the words of a column's name: the same for startTime, start_time, `Start (time)`."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return [word for word in re.split(r"[\W_]+", snake.lower()) if word]


def _is_bare_length(name: str) -> bool:
    return _words(name) in (["length"], ["len"])


def _may_limit(words: Sequence[str]) -> bool:
    return not {*_SUSPICIOUS, *_RANGES, *_CHANNELS}.isdisjoint(words)


def _limits(words: Sequence[str], value: Any) -> bool:
    """Return whether the cell seems to limit audio, by its column's name and its value."""
    if not _CHANNELS.isdisjoint(words) and _COUNTS.isdisjoint(words):
        return _is_number(value) or _is_list(value) or str(value).lower() in _CHANNEL_NAMES
    if not _SUSPICIOUS.isdisjoint(words) and _is_number(value):
        return True
    return _is_list(value) or (isinstance(value, str) and bool(_RANGE.fullmatch(value.strip())))


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        return bool(_NUMBER.fullmatch(value.strip()) or _CLOCK.fullmatch(value.strip()))
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_list(value: Any) -> bool:
    """Return whether the cell is a list of numbers, or an object of them."""
    values: Iterable[Any] = value.values() if isinstance(value, dict) else value
    return isinstance(value, list | tuple | dict) and bool(value) and all(map(_is_number, values))


def _advise(words: Sequence[str]) -> str:
    if not _CHANNELS.isdisjoint(words):
        return (
            "Write each channel to a separate file (ffmpeg -i IN -af pan=mono|c0=c1 OUT extracts "
            "the second), or rename the column if it does not select a channel."
        )
    return (
        "Name it start, end or duration (in seconds), start_ms, end_ms or duration_ms, or "
        "start_sample, end_sample or num_samples; any other name if it limits nothing."
    )


def _read_seconds(value: Any, column: TimeColumn, rate_hz: Callable[[], int]) -> float | None:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    number = _read_number(value)
    if column.unit == "ms":
        number /= 1000
    elif column.unit == "samples" and 0 <= number < math.inf:
        number /= rate_hz()
    if not 0 <= number < LONGEST_RECORDING_S:
        raise RowError(
            f"{column.name!r} is {_shorten(value)}, not a number of "
            f"{ {'s': 'seconds', 'ms': 'milliseconds', 'samples': 'samples'}[column.unit] }"
        )
    return number


def _read_number(value: Any) -> float:
    if isinstance(value, str):
        text = value.strip()
        if clock := _CLOCK.fullmatch(text):
            return (int(clock[1] or 0) * 60 + int(clock[2])) * 60 + float(clock[3])
        return float(text) if _NUMBER.fullmatch(text) else math.nan
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        return math.nan
    try:
        return float(value)
    except (OverflowError, ValueError):
        return math.inf


def _shorten(value: Any) -> str:
    written = repr(value)
    return written if len(written) <= 60 else f"{written[:57]}..."

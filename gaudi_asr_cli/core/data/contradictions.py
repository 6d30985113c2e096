"""Rows that contradict their audio file, and how they are read nevertheless."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from gaudi_asr_cli.core.data.decoded import END_TOLERANCE_S
from gaudi_asr_cli.core.data.rejected import RowError
from gaudi_asr_cli.core.records import AudioSpan, Utterance

Kind = Literal["too_long", "partial", "cut_already"]

TOLERANCE_S = 0.1
"""Headers of mp3 and ogg are exact to a few frames of 26 ms; less is no contradiction."""

UNREAD_S = 0.5
"""A row without a start that leaves more than this of a file unread may mean the whole file."""

_RATES_HZ = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000)
_RATIO_TOLERANCE = 0.02


@dataclass(frozen=True, slots=True)
class Contradiction:
    """The difference between a row and its audio file, and how it was resolved."""

    kind: Kind
    utterance_id: str
    origin: str
    message: str
    guess: str = ""

    def __str__(self) -> str:
        return f"{self.origin or self.utterance_id}: {self.message}"


def reconcile(
    utterance: Utterance, total_s: float, *, only_row: bool = False, is_segment: bool = False
) -> tuple[Utterance, Contradiction | None]:
    """Return the utterance with a duration that its file can give, and the contradiction, if any.

    Args:
        utterance: A row; without a duration it extends to the end of the file.
        total_s: Length of the whole file in seconds.
        only_row: No other row refers to the file.
        is_segment: Rows of its list begin inside files.

    Raises:
        RowError: It starts after the file's end, or is a segment that ends in another unit.
    """
    span = utterance.audio
    if _is_cut_already(span, total_s):
        whole = replace(utterance, audio=replace(span, start_s=0.0, duration_s=total_s))
        return whole, _describe(utterance, "cut_already", _cut_already(span, total_s))
    left_s = total_s - span.start_s
    if left_s <= 0:
        raise RowError(_describe_beyond(utterance, total_s))
    if span.duration_s is None:
        return replace(utterance, audio=replace(span, duration_s=left_s)), None
    excess_s = span.duration_s - left_s
    if excess_s > END_TOLERANCE_S:
        read = replace(utterance, audio=replace(span, duration_s=left_s))
        if excess_s <= TOLERANCE_S:
            return read, None
        if is_segment and _guess_span_unit(span.start_s + span.duration_s, total_s):
            # Read to the end of the file it would have the audio of the other segments.
            raise RowError(_describe_beyond(utterance, total_s))
        return read, _describe_excess(utterance, span.duration_s, total_s)
    if only_row and not span.start_s and -excess_s > UNREAD_S:
        return _reconcile_short(utterance, span.duration_s, total_s)
    return utterance, None


def _reconcile_short(
    utterance: Utterance, duration_s: float, total_s: float
) -> tuple[Utterance, Contradiction]:
    """Reconcile a row that is alone in its file and much shorter."""
    message = f"the list says {duration_s:.3f} s, the file holds {total_s:.3f} s: "
    if guess := _guess_larger_unit(duration_s, total_s):
        whole = replace(utterance, audio=replace(utterance.audio, duration_s=total_s))
        return whole, _describe(utterance, "partial", f"{message}{guess}?", guess)
    message += f"only its first {duration_s:.3f} s are read"
    return utterance, _describe(utterance, "partial", message)


def summarize_contradictions(found: Iterable[Contradiction]) -> list[str]:
    """Return a sentence for each kind of contradiction, with the first and the number of rows."""
    groups: dict[tuple[str, str], list[Contradiction]] = defaultdict(list)
    for contradiction in found:
        groups[contradiction.kind, contradiction.guess].append(contradiction)
    return [_summarize(group) for group in groups.values()]


def _summarize(group: list[Contradiction]) -> str:
    more = "" if len(group) == 1 else f" ({len(group)} rows, this the first)"
    return f"{group[0]}{more}"


def _is_cut_already(span: AudioSpan, total_s: float) -> bool:
    """Return whether a cell holds exactly the segment that the row's start and end describe.

    Corpora on the hub (MLS, GigaSpeech, AMI) keep the times of the original recording next to
    audio that was already cut.
    """
    if span.row is None or span.duration_s is None or not span.start_s:
        return False
    beyond = span.start_s + span.duration_s > total_s + TOLERANCE_S
    return beyond and abs(span.duration_s - total_s) <= TOLERANCE_S


def _cut_already(span: AudioSpan, total_s: float) -> str:
    end_s = span.start_s + (span.duration_s or 0.0)
    return (
        f"the audio holds {total_s:.3f} s, as long as the segment from {span.start_s:.3f} to "
        f"{end_s:.3f} s that the row names: it is that segment, and is read whole"
    )


def _describe(utterance: Utterance, kind: Kind, message: str, guess: str = "") -> Contradiction:
    return Contradiction(kind, utterance.id, utterance.origin, message, guess)


def _describe_excess(utterance: Utterance, duration_s: float, total_s: float) -> Contradiction:
    start_s = utterance.audio.start_s
    guess = _guess_unit(start_s + duration_s, total_s) or _guess_unit(duration_s, total_s)
    if guess:
        message = f"the list says {duration_s:g} s, the file holds {total_s:.3f} s: {guess}?"
    elif start_s:
        message = (
            f"the list says {duration_s:.3f} s from {start_s:.3f} s on, the file holds "
            f"{total_s:.3f} s: read to its end"
        )
    else:
        message = (
            f"the list says {duration_s:.3f} s, the file holds {total_s:.3f} s: read to its end"
        )
    return _describe(utterance, "too_long", message, guess)


def _describe_beyond(utterance: Utterance, total_s: float) -> str:
    span = utterance.audio
    where = f"{utterance.origin}: " if utterance.origin else f"{span.path}: "
    end_s = span.start_s + (span.duration_s or 0.0)
    guess = _guess_span_unit(end_s, total_s)
    unit = f": {guess}?" if guess else ""
    if span.start_s < total_s:
        return f"{where}it ends at {end_s:g} s, the file holds {total_s:.3f} s{unit}"
    return (
        f"{where}it starts at {span.start_s:g} s, the file holds {total_s:.3f} s, so there is no "
        f"audio from {span.start_s:.2f} s on{unit}"
    )


def _guess_unit(declared_s: float, total_s: float) -> str:
    """Return the unit in which the duration would be that of the whole file."""
    ratio = declared_s / total_s if total_s > 0 else 0.0

    def near(factor: float) -> bool:
        return abs(ratio / factor - 1) <= _RATIO_TOLERANCE

    if near(1000):
        return "milliseconds"
    return "samples" if any(near(rate_hz) for rate_hz in _RATES_HZ) else ""


def _guess_larger_unit(declared_s: float, total_s: float) -> str:
    """Return the unit in which a short duration would be that of the whole file."""
    ratio = total_s / declared_s if declared_s > 0 else 0.0
    units = {"minutes": 60, "hours": 3600}
    near = (name for name, size in units.items() if abs(ratio / size - 1) <= _RATIO_TOLERANCE)
    return next(near, "")


def _guess_span_unit(end_s: float, total_s: float) -> str:
    """Return the unit in which a segment far beyond the end of the file would lie inside it."""
    if end_s < 10 * total_s or end_s < 100:
        return ""
    return "milliseconds" if end_s / 1000 <= total_s + TOLERANCE_S else "samples"

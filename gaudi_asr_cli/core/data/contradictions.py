"""Rows that promise what their file does not hold, and how they are read all the same."""

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
"""Headers of mp3 and ogg are honest to a few frames of 26 ms; less contradicts nothing."""

UNREAD_S = 0.5
"""A row that leaves more than this of a file unread, without naming a start, may mean the whole."""

_RATES_HZ = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000)
_RATIO_TOLERANCE = 0.02


@dataclass(frozen=True, slots=True)
class Contradiction:
    """What one row says and what its file holds, and what was done about it."""

    kind: Kind
    utterance_id: str
    origin: str
    message: str
    guess: str = ""

    def __str__(self) -> str:
        return f"{self.origin or self.utterance_id}: {self.message}"


def settle(
    utterance: Utterance, held_s: float, *, alone: bool = False
) -> tuple[Utterance, Contradiction | None]:
    """Return the utterance with the duration that its file holds, and what contradicts the row.

    Args:
        utterance: A row; without a duration it reaches to the file's end.
        held_s: Seconds of the whole file.
        alone: No other row names the file.

    Raises:
        RowError: It starts after the file's end.
    """
    span = utterance.audio
    if _is_cut_already(span, held_s):
        whole = replace(utterance, audio=replace(span, start_s=0.0, duration_s=held_s))
        return whole, _describe(utterance, "cut_already", _cut_already(span, held_s))
    left_s = held_s - span.start_s
    if left_s <= 0:
        raise RowError(_describe_beyond(utterance, held_s))
    if span.duration_s is None:
        return replace(utterance, audio=replace(span, duration_s=left_s)), None
    excess_s = span.duration_s - left_s
    if excess_s > END_TOLERANCE_S:
        read = replace(utterance, audio=replace(span, duration_s=left_s))
        if excess_s <= TOLERANCE_S:
            return read, None
        return read, _describe_excess(utterance, span.duration_s, held_s)
    if alone and not span.start_s and -excess_s > UNREAD_S:
        message = (
            f"the list says {span.duration_s:.3f} s, the file holds {held_s:.3f} s: only its "
            f"first {span.duration_s:.3f} s are read"
        )
        return utterance, _describe(utterance, "partial", message)
    return utterance, None


def sum_up_contradictions(found: Iterable[Contradiction]) -> list[str]:
    """Return a sentence for each kind of contradiction, with the first and the number of rows."""
    groups: dict[tuple[str, str], list[Contradiction]] = defaultdict(list)
    for one in found:
        groups[one.kind, one.guess].append(one)
    return [_sum_up(group) for group in groups.values()]


def _sum_up(group: list[Contradiction]) -> str:
    more = "" if len(group) == 1 else f" ({len(group)} rows, this the first)"
    return f"{group[0]}{more}"


def _is_cut_already(span: AudioSpan, held_s: float) -> bool:
    """Tell whether a cell holds just the segment whose times, in another recording, the row says.

    Corpora on the hub (MLS, GigaSpeech, AMI) keep them beside the audio that was cut out.
    """
    if span.row is None or span.duration_s is None or not span.start_s:
        return False
    beyond = span.start_s + span.duration_s > held_s + TOLERANCE_S
    return beyond and abs(span.duration_s - held_s) <= TOLERANCE_S


def _cut_already(span: AudioSpan, held_s: float) -> str:
    end_s = span.start_s + (span.duration_s or 0.0)
    return (
        f"the audio holds {held_s:.3f} s, as long as the segment from {span.start_s:.3f} to "
        f"{end_s:.3f} s that the row names: it is that segment, and read whole"
    )


def _describe(utterance: Utterance, kind: Kind, message: str, guess: str = "") -> Contradiction:
    return Contradiction(kind, utterance.id, utterance.origin, message, guess)


def _describe_excess(utterance: Utterance, duration_s: float, held_s: float) -> Contradiction:
    start_s = utterance.audio.start_s
    guess = _guess_unit(start_s + duration_s, held_s) or _guess_unit(duration_s, held_s)
    if guess:
        message = f"the list says {duration_s:g} s, the file holds {held_s:.3f} s: {guess}?"
    elif start_s:
        message = (
            f"the list says {duration_s:.3f} s from {start_s:.3f} s on, the file holds "
            f"{held_s:.3f} s: read to its end"
        )
    else:
        message = (
            f"the list says {duration_s:.3f} s, the file holds {held_s:.3f} s: read to its end"
        )
    return _describe(utterance, "too_long", message, guess)


def _describe_beyond(utterance: Utterance, held_s: float) -> str:
    span = utterance.audio
    where = f"{utterance.origin}: " if utterance.origin else f"{span.path}: "
    end_s = span.start_s + (span.duration_s or 0.0)
    guess = _guess_span_unit(end_s, held_s)
    return (
        f"{where}it starts at {span.start_s:g} s, the file holds {held_s:.3f} s, so there is no "
        f"sound from {span.start_s:.2f} s on" + (f": {guess}?" if guess else "")
    )


def _guess_unit(said_s: float, held_s: float) -> str:
    """Return the unit in which a whole file's length would be right."""
    ratio = said_s / held_s if held_s > 0 else 0.0

    def near(factor: float) -> bool:
        return abs(ratio / factor - 1) <= _RATIO_TOLERANCE

    if near(1000):
        return "milliseconds"
    return "samples" if any(near(rate_hz) for rate_hz in _RATES_HZ) else ""


def _guess_span_unit(end_s: float, held_s: float) -> str:
    """Return the unit in which a segment of a file that it lies so far beyond would be right."""
    if end_s < 10 * held_s or end_s < 100:
        return ""
    return "milliseconds" if end_s / 1000 <= held_s + TOLERANCE_S else "samples"

"""Segments of one recording that overlap and have different texts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gaudi_asr_cli.core.records import AudioSpan, Utterance

OVERLAP_TOLERANCE_S = 0.05
"""Rounded or slightly padded boundaries are no overlap."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two utterances of one recording that share audio but differ in text."""

    first: Utterance
    second: Utterance
    shared_s: float

    def __str__(self) -> str:
        first, second = self.first, self.second
        return (
            f"{second.id} ({_describe(second.audio)}) overlaps {first.id} "
            f"({_describe(first.audio)}) by {self.shared_s:.2f} s in {first.audio.path}"
        )


def find_overlaps(utterances: Iterable[Utterance]) -> tuple[Overlap, ...]:
    """Return at most one overlap of each measured utterance with an earlier one of its file."""
    recordings: dict[tuple[object, ...], list[Utterance]] = defaultdict(list)
    for utterance in utterances:
        span = utterance.audio
        recordings[span.path, span.row, span.column, span.track].append(utterance)
    return tuple(
        overlap
        for segments in recordings.values()
        if len(segments) > 1
        for overlap in _find_in_recording(segments)
    )


def _find_in_recording(segments: list[Utterance]) -> Iterator[Overlap]:
    latest: list[Utterance] = []
    for segment in sorted(segments, key=lambda utterance: utterance.audio.start_s):
        other = next((earlier for earlier in latest if earlier.text != segment.text), None)
        if other is not None:
            shared_s = min(_end_s(other), _end_s(segment)) - segment.audio.start_s
            if shared_s > OVERLAP_TOLERANCE_S:
                yield Overlap(other, segment, shared_s)
        # The segment that ends last, and the one that ends last among those of another text.
        latest = _keep_last_ending([*latest, segment])


def _keep_last_ending(segments: list[Utterance]) -> list[Utterance]:
    ordered = sorted(segments, key=_end_s, reverse=True)
    second = next((segment for segment in ordered if segment.text != ordered[0].text), None)
    return ordered[:1] if second is None else [ordered[0], second]


def _end_s(utterance: Utterance) -> float:
    return utterance.audio.start_s + (utterance.audio.duration_s or 0.0)


def _describe(span: AudioSpan) -> str:
    return f"{span.start_s:.2f} to {span.start_s + (span.duration_s or 0.0):.2f} s"

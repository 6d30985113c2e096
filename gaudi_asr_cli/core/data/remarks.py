"""Remarks on audio: what is unusual about a file, and who promised the seconds that are lost."""

from __future__ import annotations

from gaudi_asr_cli.core.data.decoded import END_TOLERANCE_S
from gaudi_asr_cli.core.data.timeline import Timeline, read_timeline
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.records import AudioSpan, Utterance


def describe_loss(utterance: Utterance, lost_s: float) -> str:
    """Return a sentence on seconds that could not be decoded: of a header, or of a segment."""
    span = utterance.audio
    timeline = _find(span)
    if span.duration_s is None or timeline is None or _reaches_end(span, timeline):
        return f"{span.path}: {lost_s:.2f} s of the duration in its header could not be decoded."
    end_s = span.start_s + span.duration_s
    listed = f" ({utterance.origin})" if utterance.origin else ""
    return (
        f"{span.path}: {lost_s:.2f} s of its segment from {span.start_s:.2f} to {end_s:.2f} s"
        f"{listed} could not be decoded."
    )


def describe_file(span: AudioSpan) -> tuple[str, ...]:
    """Return notes on the file of a span that was not measured; a measured one has had them."""
    if span.duration_s is not None:
        return ()
    timeline = _find(span)
    return () if timeline is None else timeline.notes


def _find(span: AudioSpan) -> Timeline | None:
    try:
        return read_timeline(span)
    except (DataError, OSError):
        # Loading the file reports what is wrong with it.
        return None


def _reaches_end(span: AudioSpan, timeline: Timeline) -> bool:
    end_s = span.start_s + (span.duration_s or 0.0)
    return not span.start_s and end_s >= timeline.total_s - END_TOLERANCE_S

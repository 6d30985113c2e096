"""WebVTT subtitles. Source: W3C, "WebVTT: The Web Video Text Tracks Format"."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gaudi_asr_cli.core.events import UtteranceDone
from gaudi_asr_cli.core.formats.cues import Cue, group_cues
from gaudi_asr_cli.core.formats.record import Format
from gaudi_asr_cli.core.formats.srt import format_time

_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def format_vtt(utterances: Iterable[UtteranceDone]) -> Iterator[str]:
    """Each utterance as a whole document; that of silence has a head and no cue."""
    for done in utterances:
        if done.transcript is not None:
            yield "WEBVTT\n" + "".join(_format_cue(cue) for cue in group_cues(done))


def _format_cue(cue: Cue) -> str:
    start, end = (format_time(time, mark=".") for time in (cue.start_ms, cue.end_ms))
    lines = (line.translate(_ESCAPES) for line in cue.lines)
    return "\n".join(["", f"{start} --> {end}", *lines, ""])


VTT = Format(format_vtt)

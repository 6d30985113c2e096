"""WebVTT subtitles. Source: W3C, "WebVTT: The Web Video Text Tracks Format"."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gaudi_asr_cli.core.events import UtteranceDone
from gaudi_asr_cli.core.formats.cues import DEFAULT_STYLE, Cue, CueStyle
from gaudi_asr_cli.core.formats.highlights import shown_cues
from gaudi_asr_cli.core.formats.record import Format
from gaudi_asr_cli.core.formats.srt import format_time

_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def format_vtt(
    utterances: Iterable[UtteranceDone], style: CueStyle = DEFAULT_STYLE
) -> Iterator[str]:
    """Each utterance as a whole document; that of silence has a head and no cue."""
    for done in utterances:
        if done.transcript is not None:
            yield "WEBVTT\n" + "".join(_format_cue(cue) for cue in shown_cues(done, style, _escape))


def _format_cue(cue: Cue) -> str:
    start, end = (format_time(time, mark=".") for time in (cue.start_ms, cue.end_ms))
    voice = "" if cue.channel is None else f"<v Channel {cue.channel}>"
    return "\n".join(["", f"{start} --> {end}", voice + cue.lines[0], *cue.lines[1:], ""])


def _escape(text: str) -> str:
    return text.translate(_ESCAPES)


VTT = Format(format_vtt, takes_style=True)

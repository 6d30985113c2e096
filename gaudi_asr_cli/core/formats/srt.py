"""SubRip subtitles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gaudi_asr_cli.core.events import UtteranceDone
from gaudi_asr_cli.core.formats.cues import DEFAULT_STYLE, Cue, CueStyle
from gaudi_asr_cli.core.formats.highlights import shown_cues
from gaudi_asr_cli.core.formats.record import Format


def format_srt(
    utterances: Iterable[UtteranceDone], style: CueStyle = DEFAULT_STYLE
) -> Iterator[str]:
    """Each utterance as a whole document, numbered from 1; silence is an empty one."""
    for done in utterances:
        if done.transcript is not None:
            yield "".join(
                _format_cue(number, cue)
                for number, cue in enumerate(shown_cues(done, style), start=1)
            )


def _format_cue(number: int, cue: Cue) -> str:
    times = f"{format_time(cue.start_ms)} --> {format_time(cue.end_ms)}"
    speaker = "" if cue.channel is None else f"[channel {cue.channel}] "
    return "\n".join([str(number), times, speaker + cue.lines[0], *cue.lines[1:], "", ""])


def format_time(milliseconds: int, *, mark: str = ",") -> str:
    """Hours (at least two digits), minutes, seconds and, after the mark, milliseconds."""
    seconds, rest_ms = divmod(milliseconds, 1000)
    minutes, rest_s = divmod(seconds, 60)
    hours, rest_minutes = divmod(minutes, 60)
    return f"{hours:02d}:{rest_minutes:02d}:{rest_s:02d}{mark}{rest_ms:03d}"


SRT = Format(format_srt, takes_style=True)

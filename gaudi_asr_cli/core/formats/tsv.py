"""Tab-separated values as openai-whisper writes them: start and end in ms, text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gaudi_asr_cli.core.events import UtteranceDone
from gaudi_asr_cli.core.formats.cues import Cue, group_cues
from gaudi_asr_cli.core.formats.record import Format

HEAD = "start\tend\ttext\n"


def format_tsv(utterances: Iterable[UtteranceDone]) -> Iterator[str]:
    """Each utterance as a whole document: a head, then a line for each cue of its subtitles."""
    for done in utterances:
        if done.transcript is not None:
            yield HEAD + "".join(map(_format_line, group_cues(done)))


def _format_line(cue: Cue) -> str:
    speaker = "" if cue.channel is None else f"[channel {cue.channel}] "
    return f"{cue.start_ms}\t{cue.end_ms}\t{speaker}{' '.join(cue.lines)}\n"


TSV = Format(format_tsv)

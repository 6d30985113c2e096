"""Tab-separated values as openai-whisper writes them: start and end in ms, text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gaudi_asr_cli.core.events import UtteranceDone
from gaudi_asr_cli.core.formats.cues import group_cues
from gaudi_asr_cli.core.formats.record import Format

HEAD = "start\tend\ttext\n"


def format_tsv(utterances: Iterable[UtteranceDone]) -> Iterator[str]:
    """Each utterance as a whole document: a head, then a line for each cue of its subtitles."""
    for done in utterances:
        if done.transcript is not None:
            lines = (
                f"{cue.start_ms}\t{cue.end_ms}\t{' '.join(cue.lines)}\n" for cue in group_cues(done)
            )
            yield HEAD + "".join(lines)


TSV = Format(format_tsv)

"""Plain text: a line an utterance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gaudi_asr_cli.core.events import UtteranceDone
from gaudi_asr_cli.core.formats.record import Format
from gaudi_asr_cli.core.formats.turns import channel_lines


def format_txt(utterances: Iterable[UtteranceDone]) -> Iterator[str]:
    """Format the text alone, with several channels a line for each turn of one.

    A failed file has no line, its error is reported elsewhere.
    """
    for done in utterances:
        if done.transcript is not None:
            yield "".join(f"{line}\n" for line in channel_lines(done.transcript))


TXT = Format(format_txt, one_document=False, needs_word_times=False, uses_word_times=False)

"""A JSON document for an utterance: what a line of JSON lines holds, for people to read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gaudi_asr_cli.core.events import UtteranceDone
from gaudi_asr_cli.core.formats.jsonl import transcript_json
from gaudi_asr_cli.core.formats.record import Format
from gaudi_asr_cli.core.json_text import json_text


def format_json(utterances: Iterable[UtteranceDone]) -> Iterator[str]:
    """Each utterance as a whole document, failed ones included."""
    for done in utterances:
        yield json_text(transcript_json(done), indent=2) + "\n"


JSON_DOCUMENT = Format(format_json, needs_word_times=False)

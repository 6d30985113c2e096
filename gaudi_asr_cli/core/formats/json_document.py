"""A JSON document for an utterance: what a line of JSON lines holds, for people to read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from gaudi_asr_cli.core.events import UtteranceDone
from gaudi_asr_cli.core.formats.jsonl import transcript_json


def format_json(utterances: Iterable[UtteranceDone]) -> Iterator[str]:
    """Each utterance as a whole document, failed ones included."""
    for done in utterances:
        yield json.dumps(transcript_json(done), ensure_ascii=False, indent=2) + "\n"

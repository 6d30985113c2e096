"""Transcripts as text files of several formats."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from gaudi_asr_cli.core.events import UtteranceDone
from gaudi_asr_cli.core.formats.ctm import format_ctm
from gaudi_asr_cli.core.formats.json_document import format_json
from gaudi_asr_cli.core.formats.jsonl import format_jsonl
from gaudi_asr_cli.core.formats.srt import format_srt
from gaudi_asr_cli.core.formats.tsv import format_tsv
from gaudi_asr_cli.core.formats.txt import format_txt
from gaudi_asr_cli.core.formats.vtt import format_vtt

Format = Callable[[Iterable[UtteranceDone]], Iterator[str]]

FORMATS: dict[str, Format] = {
    "txt": format_txt,
    "json": format_json,
    "jsonl": format_jsonl,
    "srt": format_srt,
    "vtt": format_vtt,
    "tsv": format_tsv,
    "ctm": format_ctm,
}

DOCUMENTS = frozenset({"json", "srt", "vtt", "tsv"})
"""Formats of which a file holds one utterance; lines of the others may follow one another."""

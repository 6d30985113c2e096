"""Output formats: a new one is a file that defines a `Format`, and a line here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gaudi_asr_cli.core.registry import Registry

if TYPE_CHECKING:
    from gaudi_asr_cli.core.formats.record import Format

FORMATS: Registry[Format] = Registry(
    "format",
    {
        "txt": "gaudi_asr_cli.core.formats.txt:TXT",
        "json": "gaudi_asr_cli.core.formats.json_document:JSON_DOCUMENT",
        "jsonl": "gaudi_asr_cli.core.formats.jsonl:JSON_LINES",
        "srt": "gaudi_asr_cli.core.formats.srt:SRT",
        "vtt": "gaudi_asr_cli.core.formats.vtt:VTT",
        "tsv": "gaudi_asr_cli.core.formats.tsv:TSV",
        "ctm": "gaudi_asr_cli.core.formats.ctm:CTM",
        "TextGrid": "gaudi_asr_cli.core.formats.textgrid:TEXTGRID",
    },
)
"""Value of `--format`, which is also the suffix of a file -> its record."""

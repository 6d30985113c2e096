"""The report of `vocab` as a table: each character, its count and status."""

from __future__ import annotations

from rich.text import Text

from gaudi_asr_cli.core.workflows.vocab import VocabReport
from gaudi_asr_cli.ui.messages import show_line, show_notice
from gaudi_asr_cli.ui.numbers import count, span
from gaudi_asr_cli.ui.tables import new_table, show_table

_STYLES = {"kept": "green", "removed": "dim", "unknown": "yellow"}


def show_vocab(report: VocabReport) -> None:
    """Show every character, then the warnings, then where the files are."""
    unit = "character" if report.vocabulary.phonemes_of is None else "phoneme"
    table = new_table(unit, "name", ">count", "status", "reason")
    for row in report.characters:
        table.add_row(
            Text(repr(row.character)[1:-1] if row.character.strip() else "space"),
            Text(row.name, "dim"),
            f"{row.count:,}",
            Text(row.status, _STYLES[row.status]),
            Text(row.reason),
        )
    show_table(f"{unit}s", table)
    for warning in report.warnings:
        show_notice(warning)
    size = count(len(report.vocabulary.tokens), "token")
    data = f"{count(report.utterances, 'utterance')}, {span(report.audio_s)}"
    show_line(f"\n{size} from {data}, written to {report.out}")

"""A vocabulary as a table: each character, how often, and what becomes of it."""

from __future__ import annotations

from rich.text import Text

from gaudi_asr_cli.core.workflows.vocab import VocabReport
from gaudi_asr_cli.ui.messages import show_line, show_notice
from gaudi_asr_cli.ui.numbers import count, span
from gaudi_asr_cli.ui.tables import new_table, show_table

_STYLES = {"kept": "green", "removed": "dim", "unknown": "yellow"}


def show_vocab(report: VocabReport) -> None:
    """Every character, then what deserves a second look, then where the files are."""
    unit = "character" if report.vocabulary.phonemes_of is None else "phoneme"
    table = new_table(unit, "name", ">count", "", "why")
    for row in report.characters:
        table.add_row(
            Text(repr(row.character)[1:-1] if row.character.strip() else "space"),
            Text(row.name, "dim"),
            f"{row.count:,}",
            Text(row.fate, _STYLES[row.fate]),
            Text(row.why),
        )
    show_table(f"{unit}s", table)
    for warning in report.warnings:
        show_notice(warning)
    size = count(len(report.vocabulary.tokens), "token")
    heard = f"{count(report.utterances, 'utterance')}, {span(report.audio_s)}"
    show_line(f"\n{size} from {heard}, written to {report.out}")

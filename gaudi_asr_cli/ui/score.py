"""The account of an evaluation as tables: rates in percent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rich.text import Text

from gaudi_asr_cli.core.evaluation.confusions import Confusion
from gaudi_asr_cli.core.evaluation.notes import name_some
from gaudi_asr_cli.core.evaluation.repetition import RepetitionReport
from gaudi_asr_cli.core.records import Score, ScoredUtterance
from gaudi_asr_cli.core.text.graphemes import shorten
from gaudi_asr_cli.core.workflows.evaluation import EvalReport, describe_first
from gaudi_asr_cli.ui.messages import show_line, show_notice
from gaudi_asr_cli.ui.numbers import count, percent, span
from gaudi_asr_cli.ui.tables import new_table, show_facts, show_table

MOST_SLICES = 12
MOST_WORST = 5
MOST_CONFUSIONS = 10
MOST_NOT_SCORED = 5


def show_evaluation(report: EvalReport) -> None:
    """The whole account: what went wrong first, the score last, where the eye rests."""
    show_worst(report.worst, cer_first=report.score.cer_first)
    show_confusions(report.confusions[:MOST_CONFUSIONS])
    show_slices(report.score.slices, report.score.rate_name, cer_first=report.score.cer_first)
    show_score(report.score, f"{report.model} on {report.device}, {report.dtype}")
    show_writing(report.writing, report.run)
    show_not_scored(report)
    show_line(f"Written: {report.run}", "dim")


def show_not_scored(report: EvalReport) -> None:
    """Name the first utterances that the score leaves out, and why."""
    left_out = [*report.broken, *report.without_text]
    if not left_out:
        return
    first, *more = left_out[:MOST_NOT_SCORED]
    remedy = f"All are listed in {report.run}/report.json."
    show_notice(
        f"{count(len(left_out), 'utterance')} not scored; the first, {describe_first(first)}",
        "" if more else remedy,
    )
    for place, one in enumerate(more, start=1):
        show_notice(f"not scored, {describe_first(one)}", remedy if place == len(more) else "")


def show_writing(writing: RepetitionReport | None, run: Path) -> None:
    """Texts that a decoder may have made up."""
    if writing is None or not writing.suspects:
        return
    first = writing.suspects[0]
    show_notice(
        f"{count(writing.truncated, 'text')} stopped at the most tokens and {writing.looping} that "
        f"turn round and round, the first {first.path}: {shorten(first.text, 60)!r}",
        f"They count as they are. All are listed in {run}/report.json; --max-tokens moves the cap.",
    )


def show_score(score: Score, title: str = "score") -> None:
    """Rates as scored beside rates as written, the counts behind them, and what was covered."""
    table = new_table("", ">normalised", "95 % interval", ">as written")
    interval = f"{percent(score.wer_low)} to {percent(score.wer_high)}"
    rows = [(f"{score.unit} error rate", score.wer, interval, score.raw_wer)]
    if score.unit == "word":
        rows.append(("character error rate", score.cer, "", score.raw_cer))
    for first, (name, rate, sure, raw) in enumerate(reversed(rows) if score.cer_first else rows):
        style = "" if first else "bold"
        table.add_row(name, Text(percent(rate), style), sure, percent(raw))
    table.add_row("utterances with errors", percent(score.sentence_error_rate), "", "")
    show_table(title, table)
    show_facts(*_facts(score))
    for note in score.notes:
        show_notice(note)


def _facts(score: Score) -> Iterable[tuple[str, str]]:
    words = score.words
    yield (
        f"{score.unit}s",
        f"{words.reference_length:,} said: {words.hits:,} right, {words.substitutions:,} "
        f"substituted, {words.deletions:,} dropped, {words.insertions:,} made up",
    )
    yield "coverage", describe_coverage(score)
    if score.empty_references:
        empty = score.empty_references
        yield (
            "empty",
            f"{count(len(empty), 'reference')}, only insertions count: {name_some(empty, 5)}",
        )
    yield "normalizer", score.normalizer
    if score.rtfx is not None:
        yield "speed", f"{score.rtfx:,.1f} seconds of audio a second"
    if score.phases_s:
        yield "time", ", ".join(f"{name} {value:.1f} s" for name, value in score.phases_s.items())


def describe_coverage(score: Score) -> str:
    """How much of the data the score speaks for."""
    return (
        f"{score.utterances:,} of {count(score.utterances_total, 'utterance')}, "
        f"{span(score.audio_s)} of {span(score.audio_s_total)}"
    )


def show_slices(
    slices: Mapping[str, Mapping[str, Mapping[str, float]]],
    rate_name: str = "WER",
    *,
    cer_first: bool = False,
) -> None:
    """The score of each part of the data, the worst first where there are too many to show."""
    rates = [(rate_name, "wer"), ("CER", "cer")]
    if cer_first:
        rates.reverse()
    for name, parts in slices.items():
        shown, title = list(parts.items()), f"by {name}"
        if len(shown) > MOST_SLICES:
            shown = sorted(shown, key=lambda part: -part[1][rates[0][1]])[:MOST_SLICES]
            title += f", the worst {MOST_SLICES} of {len(parts)}"
        table = new_table(name, ">utterances", ">audio", *(f">{rate}" for rate, _ in rates))
        for part, numbers in shown:
            table.add_row(
                Text(part),
                f"{numbers['utterances']:,.0f}",
                span(numbers["audio_s"]),
                *(percent(numbers[key]) for _, key in rates),
            )
        show_table(title, table)


def show_worst(
    scored: Sequence[ScoredUtterance], most: int = MOST_WORST, *, cer_first: bool = False
) -> None:
    """The utterances with the most errors: what was said above what was heard."""
    judged = [(one, one.characters if cer_first else one.words) for one in scored]
    wrong = [(one, counts) for one, counts in judged if counts.errors][:most]
    if not wrong:
        return
    table = new_table("characters" if cer_first else "errors", "", "text")
    for one, counts in wrong:
        wrong_of = f"{counts.errors} of {counts.reference_length}"
        table.add_row(wrong_of, Text("said", "dim"), Text(one.reference))
        table.add_row("", Text("heard", "dim"), Text(one.hypothesis or "(nothing)"))
        table.add_row("", Text("file", "dim"), Text(one.path, "dim"))
    show_table("worst utterances", table)


def show_confusions(confusions: Sequence[Confusion]) -> None:
    """The commonest errors."""
    if not confusions:
        return
    table = new_table(">times", "kind", "said", "heard")
    for one in confusions:
        table.add_row(
            f"{one.count:,}", one.kind, Text(one.reference or "-"), Text(one.hypothesis or "-")
        )
    show_table("commonest errors", table)

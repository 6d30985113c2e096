"""The report of an evaluation as tables, with rates in percent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rich.text import Text

from gaudi_asr_cli.core.evaluation.confusions import Confusion
from gaudi_asr_cli.core.evaluation.notes import name_ids
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
    """Show the whole report: errors first, the score last."""
    show_worst(report.worst, cer_first=report.score.cer_first)
    show_confusions(report.confusions[:MOST_CONFUSIONS])
    show_slices(report.score.slices, report.score.rate_name, cer_first=report.score.cer_first)
    show_score(report.score, f"{report.model} on {report.device}, {report.dtype}")
    show_repetition(report.repetition, report.run)
    show_tuned(report)
    show_not_scored(report)
    show_line(f"Written: {report.run}", "dim")


def show_tuned(report: EvalReport) -> None:
    """Show the weights that were chosen on the development set."""
    tuned = report.tuned
    if tuned is not None:
        show_line(
            f"Tuned on {count(tuned.utterances, 'utterance')}: --lm-weight {tuned.lm_weight:g} "
            f"--word-bonus {tuned.word_bonus:g}, WER {percent(tuned.wer)} there, "
            f"{percent(tuned.wer_without)} without the language model; "
            f"--recipe {report.run}/decoding.yaml decodes so."
        )


def show_not_scored(report: EvalReport) -> None:
    """Show the first utterances that the score leaves out, with the reasons."""
    left_out = [*report.broken, *report.without_text]
    if not left_out:
        return
    first, *more = left_out[:MOST_NOT_SCORED]
    remedy = f"All are listed in {report.run}/report.json."
    show_notice(
        f"{count(len(left_out), 'utterance')} not scored; the first, {describe_first(first)}",
        "" if more else remedy,
    )
    for number, utterance in enumerate(more, start=1):
        show_notice(
            f"not scored, {describe_first(utterance)}", remedy if number == len(more) else ""
        )


def show_repetition(repetition: RepetitionReport | None, run: Path) -> None:
    """Show how many hypotheses are truncated or repetitive."""
    if repetition is None or not repetition.suspects:
        return
    first = repetition.suspects[0]
    show_notice(
        f"{count(repetition.truncated, 'hypothesis', 'hypotheses')} truncated at the maximum of "
        f"tokens, {repetition.looping} repetitive; the first, {first.path}: "
        f"{shorten(first.text, 60)!r}",
        f"They are part of the score. {run}/report.json lists all; --max-tokens sets the maximum.",
    )


def show_score(score: Score, title: str = "score") -> None:
    """Show the normalised and the raw rates, their counts, and the coverage."""
    table = new_table("", ">normalised", "95 % interval", ">raw")
    interval = f"{percent(score.wer_low)} to {percent(score.wer_high)}"
    rows = [(f"{score.unit} error rate", score.wer, interval, score.raw_wer)]
    if score.unit == "word":
        rows.append(("character error rate", score.cer, "", score.raw_cer))
    for number, (name, rate, interval_text, raw) in enumerate(
        reversed(rows) if score.cer_first else rows
    ):
        style = "" if number else "bold"
        table.add_row(name, Text(percent(rate), style), interval_text, percent(raw))
    table.add_row("utterances with errors", percent(score.sentence_error_rate), "", "")
    show_table(title, table)
    show_facts(*_facts(score))
    for note in score.notes:
        show_notice(note)


def _facts(score: Score) -> Iterable[tuple[str, str]]:
    words = score.words
    yield (
        f"{score.unit}s",
        f"{count(words.reference_length, f'reference {score.unit}')}: {words.hits:,} correct,",
    )
    yield (
        "",  # the same sentence, on a line of its own so that 80 columns suffice
        f"{count(words.substitutions, 'substitution')}, {count(words.deletions, 'deletion')}, "
        f"{count(words.insertions, 'insertion')}",
    )
    yield "coverage", describe_coverage(score)
    if score.empty_references:
        empty = score.empty_references
        yield (
            "empty",
            f"{count(len(empty), 'reference')}, only insertions count: {name_ids(empty, 5)}",
        )
    yield "normalizer", score.normalizer
    if score.rtfx is not None:
        yield "speed", f"RTFx {score.rtfx:,.1f}"
    if score.phases_s:
        yield "time", ", ".join(f"{name} {value:.1f} s" for name, value in score.phases_s.items())


def describe_coverage(score: Score) -> str:
    """Return how much of the data is scored."""
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
    """Show the score of each part of the data, only the worst if there are many."""
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
    """Show the utterances with the most errors: reference, hypothesis and file."""
    counted = [(one, one.characters if cer_first else one.words) for one in scored]
    wrong = [(one, counts) for one, counts in counted if counts.errors][:most]
    if not wrong:
        return
    table = new_table("characters" if cer_first else "errors", "", "text")
    for one, counts in wrong:
        errors = f"{counts.errors} of {counts.reference_length}"
        table.add_row(errors, Text("reference", "dim"), Text(one.reference))
        table.add_row("", Text("hypothesis", "dim"), Text(one.hypothesis or "(empty)"))
        table.add_row("", Text("file", "dim"), Text(one.path, "dim"))
    show_table("worst utterances", table)


def show_confusions(confusions: Sequence[Confusion]) -> None:
    """Show the most common errors."""
    if not confusions:
        return
    table = new_table(">times", "kind", "reference", "hypothesis")
    for one in confusions:
        table.add_row(
            f"{one.count:,}", one.kind, Text(one.reference or "-"), Text(one.hypothesis or "-")
        )
    show_table("most common errors", table)

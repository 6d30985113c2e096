"""The result of `compare` as tables; the verdict comes last."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from gaudi_asr_cli.core.evaluation.paired import PairedTest
from gaudi_asr_cli.core.evaluation.word_changes import WordChange, WordChanges
from gaudi_asr_cli.core.workflows.compare.report import (
    ChangedUtterance,
    CompareReport,
    SpeedComparison,
)
from gaudi_asr_cli.core.workflows.compare.slices import SliceResult
from gaudi_asr_cli.core.workflows.compare.verdict import format_p, in_percent, points
from gaudi_asr_cli.ui.console import open_result_console
from gaudi_asr_cli.ui.messages import show_notice
from gaudi_asr_cli.ui.numbers import count
from gaudi_asr_cli.ui.tables import new_table, show_table

MOST_PARTS = 12
MOST_WORDS = 8
MOST_CHANGED = 3
_NEIGHBOURS = 3


def show_comparison_of_sides(report: CompareReport) -> None:
    """Print the tables on standard output, and notes on standard error."""
    _show_changed(report.changed[:MOST_CHANGED], report)
    if report.words is not None:
        _show_words(report.words, report)
    _show_slices(report.slices, report)
    if report.test is not None:
        _show_rates(report, report.test)
    _show_speed(report.speed, report)
    for note in report.notes:
        show_notice(note)
    style = "bold red" if report.exit_code else "bold"
    console = open_result_console()
    console.print()
    console.print(Text(report.verdict.sentence, style=style), soft_wrap=True)


def _show_changed(changed: Sequence[ChangedUtterance], report: CompareReport) -> None:
    if not changed:
        return
    table = new_table("errors", "", "text")
    for one in changed:
        table.add_row(f"{one.errors_a} to {one.errors_b}", Text("utterance", "dim"), Text(one.id))
        table.add_row("", Text("reference", "dim"), Text(one.reference))
        table.add_row("", Text(f"A, {report.a.name}", "dim"), Text(one.a or "(empty)"))
        table.add_row("", Text(f"B, {report.b.name}", "dim"), Text(one.b or "(empty)"))
    show_table("utterances that changed most", table, console=open_result_console())


def _show_words(words: WordChanges, report: CompareReport) -> None:
    for title, total, changes, side in (
        ("fixed", words.fixed, words.most_fixed, "A"),
        ("broken", words.broken, words.most_broken, "B"),
    ):
        if not changes:
            continue
        table = new_table(">times", "word", f"{side} has", "example (reference)")
        for one in changes[:MOST_WORDS]:
            table.add_row(f"{one.count:,}", Text(one.word), _instead(one), _example(one))
        name = report.b.name
        title = f"{count(total, 'reference word')} {title} by {name}"
        show_table(title, table, console=open_result_console())


def _instead(change: WordChange) -> Text:
    return Text("nothing", "dim") if change.instead is None else Text(change.instead)


def _example(change: WordChange) -> Text:
    """Return the word with its neighbours in the first utterance that has the change."""
    words = change.example.reference.split()
    place = words.index(change.word)
    first = max(0, place - _NEIGHBOURS)
    shown = " ".join(words[first : place + _NEIGHBOURS + 1])
    before = "... " if first else ""
    after = " ..." if place + _NEIGHBOURS + 1 < len(words) else ""
    return Text.assemble((f"{change.example.id}: ", "dim"), f"{before}{shown}{after}")


def _show_slices(slices: Sequence[SliceResult], report: CompareReport) -> None:
    for column in dict.fromkeys(one.column for one in slices):
        parts = [one for one in slices if one.column == column]
        title = f"by {column}"
        if len(parts) > MOST_PARTS:
            title += f", the {MOST_PARTS} of {len(parts)} that changed most"
            parts = sorted(parts, key=lambda one: -abs(one.test.difference))[:MOST_PARTS]
        table = new_table(column, ">utterances", ">A", ">B", ">points", ">interval", "")
        for one in parts:
            table.add_row(
                Text(one.part),
                f"{one.test.utterances:,}",
                in_percent(one.test.rate_a),
                in_percent(one.test.rate_b),
                points(one.test.difference),
                _interval(one.test),
                _mark(one, report.level),
            )
        show_table(title, table, console=open_result_console())


def _mark(one: SliceResult, level: float) -> Text:
    """Return whether the part differs, with the number of parts taken into account."""
    if one.p_adjusted > 1 - level:
        return Text("")
    is_worse = one.test.difference > 0
    return Text("worse" if is_worse else "better", "red" if is_worse else "green")


def _interval(test: PairedTest) -> str:
    return f"{points(test.low)} to {points(test.high)}"


def _show_rates(report: CompareReport, test: PairedTest) -> None:
    table = new_table("", "run", f">{report.rate_name}", ">sub", ">del", ">ins")
    for side, summary, rate in (("A", report.a, test.rate_a), ("B", report.b, test.rate_b)):
        counts = summary.counts
        numbers = (
            () if counts is None else (counts.substitutions, counts.deletions, counts.insertions)
        )
        table.add_row(
            side, Text(summary.name), in_percent(rate), *(f"{number:,}" for number in numbers)
        )
    show_table("error rates", table, console=open_result_console())
    p = "" if test.p is None else f", {format_p(test.p)} by permutation"
    console = open_result_console()
    facts = (
        ("difference", f"{points(test.difference)} points"),
        (f"{100 * report.level:.3g} % interval", f"{_interval(test)}{p}"),
        ("resampled", f"{count(test.groups, test.resampled[:-1])}"),
        (
            "texts",
            f"{count(test.utterances, 'utterance')}, "
            f"{count(test.words, f'reference {report.unit}')}, {report.costs} costs, normaliser "
            f"{report.normalizer or 'not known'}",
        ),
    )
    for label, fact in facts:
        console.print(Text.assemble((f" {label:<15}", "dim"), fact), soft_wrap=True)


def _show_speed(speed: SpeedComparison, report: CompareReport) -> None:
    rows = [
        (name, a, b)
        for name, a, b in (
            ("RTFx", speed.rtfx_a, speed.rtfx_b),
            ("peak memory, MB", speed.memory_mb_a, speed.memory_mb_b),
        )
        if a is not None or b is not None
    ]
    if not rows:
        return
    table = new_table("", f">A, {report.a.name}", f">B, {report.b.name}", ">change")
    for name, a, b in rows:
        change = f"{b / a - 1:+.1%}" if a and b else "-"
        table.add_row(name, *("-" if one is None else f"{one:,.1f}" for one in (a, b)), change)
    show_table("speed and memory", table, console=open_result_console())

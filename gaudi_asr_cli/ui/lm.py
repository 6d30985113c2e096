"""The report of `lm`: sizes and perplexity."""

from __future__ import annotations

from gaudi_asr_cli.core.workflows.lm import LmReport
from gaudi_asr_cli.ui.messages import show_line
from gaudi_asr_cli.ui.numbers import count
from gaudi_asr_cli.ui.tables import show_facts


def show_lm(report: LmReport) -> None:
    """Show what was counted, the perplexity, and where the model is."""
    orders = (f"{number:,} of order {order}" for order, number in enumerate(report.ngrams, 1))
    facts = [
        ("text", f"{count(report.sentences, 'sentence')}, {count(report.words, 'word')}"),
        ("vocabulary", count(report.vocabulary, "word")),
        ("n-grams", ", ".join(orders)),
    ]
    found = report.perplexity
    if found is not None:
        share = found.unknown / found.words
        facts.append(
            (
                "perplexity",
                f"{found.perplexity:.1f} on {count(found.words, 'word')}, ends of sentences "
                f"included; {share:.1%} unknown, {found.perplexity_known:.1f} without them",
            )
        )
    show_facts(*facts)
    show_line(f"\nA model of order {report.order}, written to {report.out}; decode with --lm.")

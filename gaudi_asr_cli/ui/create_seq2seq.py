"""The report of `create-seq2seq`: pretrained and random weights, rates of both parts."""

from __future__ import annotations

from gaudi_asr_cli.core.workflows.create_seq2seq import CreateReport
from gaudi_asr_cli.ui.messages import show_line, show_notice
from gaudi_asr_cli.ui.numbers import count
from gaudi_asr_cli.ui.tables import new_table, show_facts, show_table


def show_created(report: CreateReport) -> None:
    """Show the weights by part, the rates of encoder and decoder, and the next step."""
    table = new_table("part", ">pretrained", ">random")
    for part in report.weights:
        table.add_row(part.part, f"{part.pretrained:,}", f"{part.random:,}")
    pretrained = sum(part.pretrained for part in report.weights)
    random = sum(part.random for part in report.weights)
    table.add_row("all", f"{pretrained:,}", f"{random:,}")
    show_table("weights", table)
    show_facts(
        ("encoder", f"{report.encoder}, a state every {1000 * report.state_s:.0f} ms"),
        (
            "decoder",
            f"{report.decoder}, {count(report.tokens, 'token')}, about "
            f"{report.characters_per_token:.1f} characters or "
            f"{1000 / report.tokens_per_s:.0f} ms of read speech each",
        ),
        ("text", f"at most {count(report.max_tokens, 'token')}, {count(report.beams, 'beam')}"),
    )
    for message, remedy in report.warnings:
        show_notice(message, remedy)
    show_line(f"\nWritten: {report.out}", "dim")
    show_line(f"Try: gaudi-asr finetune-seq2seq --model {report.out} --train DATA --eval DATA")

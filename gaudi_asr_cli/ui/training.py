"""The plan of a training run (`--dry-run`) and its report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gaudi_asr_cli.core.training.session import TrainingOutcome
from gaudi_asr_cli.core.workflows.finetune.run import FinetunePlan, FinetuneReport
from gaudi_asr_cli.ui.messages import show_line
from gaudi_asr_cli.ui.numbers import clock, count, padding, percent, size
from gaudi_asr_cli.ui.score import show_score
from gaudi_asr_cli.ui.tables import new_table, show_facts, show_table


def show_plan(plan: FinetunePlan) -> None:
    """Show the plan of a run, with its buckets."""
    table = new_table(">bucket up to", ">utterances")
    for edge_s, utterances in zip(plan.edges_s, plan.utterances_per_bucket, strict=True):
        table.add_row(f"{edge_s:.2f} s", f"{utterances:,}")
    show_table("buckets", table)
    show_line("\nplan", "bold")
    show_facts(
        ("model", f"{plan.model}, {_weights(plan.weights, plan.trained_weights)}"),
        ("device", f"{plan.device}, {plan.dtype}"),
        ("data", f"{count(plan.utterances, 'utterance')}, {plan.hours:.2f} h"),
        ("skipped", _skipped(plan.refused)),
        ("vocabulary", count(plan.tokens, "token")),
        ("batches", f"{plan.batches_per_epoch:,} per epoch, padding {padding(plan.padding)}"),
        ("steps", f"{plan.steps:,} ({plan.epochs:.2f} epochs)"),
        ("memory", f"{size(plan.memory_mb * 1e6)} for weights, gradients and optimiser"),
        ("disk", f"{size(plan.disk_mb * 1e6)} for checkpoints and model"),
    )


def show_finetune(report: FinetuneReport) -> None:
    """Show losses, speed, scores, and the command to try next."""
    outcome = report.outcome
    best = "" if outcome.best_step is None else f", the best at step {outcome.best_step:,}"
    show_line("\ntraining", "bold")
    show_facts(
        ("model", f"{report.base}, seed {report.seed}, on {report.device}, {report.dtype}"),
        ("steps", f"{outcome.steps:,}, {outcome.epochs:.2f} epochs{best}"),
        ("loss", f"{_number(outcome.loss_first)} to {_number(outcome.loss_last)}"),
        *_metrics(outcome),
        (
            "speed",
            f"RTFx {outcome.audio_s_per_s:,.0f}, padding {padding(outcome.padding)}",
        ),
        ("skipped", _skipped(report.refused)),
        ("time", clock(report.wall_s)),
    )
    for name, score in (("eval", report.eval), ("test", report.test)):
        if score is not None:
            show_score(score, f"{name} data")
    show_line(f"\nWritten: {report.run}", "dim")
    show_line(f"Try: gaudi-asr infer FILE --model {report.model}")
    show_line(f"     gaudi-asr report {report.run}")


def _metrics(outcome: TrainingOutcome) -> Iterator[tuple[str, str]]:
    if outcome.blank_last is not None:
        first, last = _share(outcome.blank_first), _share(outcome.blank_last)
        yield "blank", f"{first} to {last} of the frames"
    if outcome.accuracy_last is not None:
        first, last = _share(outcome.accuracy_first), _share(outcome.accuracy_last)
        yield "token accuracy", f"{first} to {last} (teacher forcing)"


def _weights(weights: int, trained: int) -> str:
    return f"{weights:,} parameters, {trained:,} trainable"


def _skipped(skipped: Mapping[str, int]) -> str:
    return ", ".join(f"{number:,} ({reason})" for reason, number in skipped.items()) or "none"


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"


def _share(value: float | None) -> str:
    return "unknown" if value is None else percent(value)

"""The report of `recipes forecast`."""

from __future__ import annotations

from collections.abc import Iterator

from gaudi_asr_cli.core.workflows.forecast import Forecast
from gaudi_asr_cli.ui.messages import show_line
from gaudi_asr_cli.ui.numbers import clock, count, padding, size
from gaudi_asr_cli.ui.tables import show_facts


def show_forecast(report: Forecast) -> None:
    """Show every estimate and the published time."""
    show_line(f"\nforecast of {report.recipe}", "bold")
    show_facts(*_facts(report))


def _facts(report: Forecast) -> Iterator[tuple[str, str]]:
    yield "model", f"{report.model} ({report.timed or 'unreachable'})"
    cards = "" if report.cards == 1 else f"{report.cards} x "
    yield "device", f"{cards}{report.device}, {report.dtype}"
    yield "data", f"{report.data} ({report.known})"
    examples = f"{count(report.utterances, 'utterance')}, {report.audio_hours:,.1f} h"
    yield "trained on", f"{examples}; {report.left_out:,} too short or too long"
    buckets = count(len(report.edges_s), "bucket")
    yield "batches", f"{report.batches_per_epoch:,} per epoch, {buckets}, {_padding(report)}"
    yield "steps", f"{report.steps:,} ({report.epochs:.2f} epochs)"
    if report.memory_mb is not None and report.disk_mb is not None:
        memory = f"{size(report.memory_mb * 1e6)} for weights, gradients and optimiser"
        yield "memory", f"{memory}; activations come on top"
        yield "disk", f"{size(report.disk_mb * 1e6)} for checkpoints and model"
    yield "time", _time(report)
    if report.published_hours is not None:
        yield "published", f"{clock(3600 * report.published_hours)} on {report.published_on}"


def _padding(report: Forecast) -> str:
    return f"padding {padding(report.padding)}"


def _time(report: Forecast) -> str:
    if report.hours is None or report.probe is None:
        return "unknown: no step could be timed"
    probe = report.probe
    measured = f"{probe.sound_s:g} s of audio took {probe.learning_s:.2f} s, an update"
    return (
        f"{clock(3600 * report.hours)} without evaluation "
        f"(measured: {measured} {probe.update_s:.2f} s)"
    )

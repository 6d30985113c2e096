"""A benchmark as tables: how fast, how evenly, where the time goes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.table import Table
from rich.text import Text

from gaudi_asr_cli.core.benchmarking.profiling import OperatorShare
from gaudi_asr_cli.core.benchmarking.saved import SavedResult
from gaudi_asr_cli.core.workflows.bench import BenchReport
from gaudi_asr_cli.ui.messages import show_line
from gaudi_asr_cli.ui.numbers import count, padding, percent, span
from gaudi_asr_cli.ui.score import show_score
from gaudi_asr_cli.ui.tables import new_table, show_facts, show_table


def show_bench(report: BenchReport) -> None:
    """Details first, the answer last, where the eye rests."""
    show_buckets(report)
    if report.profile:
        show_profile(report.profile)
    if report.score is not None:
        show_score(report.score)
    show_table(f"{report.model} on {report.device}, {report.dtype}", _answer(report))
    show_facts(*_facts(report))
    if report.random_weights:
        show_line("Random weights hear no words, so there is no word error rate.", "dim")


def show_buckets(report: BenchReport) -> None:
    """Latency by length; what padding to the edges would cost, or costs."""
    table = new_table(
        ">up to", ">utterances", ">padding", ">mean", ">p50", ">p90", ">p95", ">p99", ">max"
    )
    for bucket in report.buckets:
        latency = bucket.latency_ms
        table.add_row(
            f"{bucket.edge_s:.2f} s",
            f"{bucket.utterances:,}",
            padding(bucket.padding),
            *map(_ms, (latency.mean, latency.p50, latency.p90)),
            *map(_ms, (latency.p95, latency.p99, latency.max)),
        )
    latency = report.latency_ms
    table.add_row(
        "all",
        f"{report.utterances:,}",
        padding(report.padding),
        *map(_ms, (latency.mean, latency.p50, latency.p90)),
        *map(_ms, (latency.p95, latency.p99, latency.max)),
        style="bold",
    )
    show_table(f"latency in milliseconds by length ({report.bucket_rule} buckets)", table)


def _answer(report: BenchReport) -> Table:
    table = new_table("", ">median", ">least", ">most")
    rtfx, wall_s, baseline = report.rtfx, report.wall_s, report.baseline
    table.add_row(
        "times faster than real time",
        Text(_rate(rtfx.median), "bold"),
        _rate(rtfx.minimum),
        _rate(rtfx.maximum),
    )
    table.add_row(
        f"time for {span(report.audio_s)} of audio",
        *(f"{one:.2f} s" for one in (wall_s.median, wall_s.minimum, wall_s.maximum)),
    )
    if baseline is not None:
        ratio = baseline.ratio
        table.add_row(
            "times faster than transformers",
            *(f"{one:.2f}" for one in (ratio.median, ratio.minimum, ratio.maximum)),
        )
    return table


def _facts(report: BenchReport) -> Iterable[tuple[str, str]]:
    habana, phases = report.habana, report.phases_s
    yield (
        "sound",
        f"{count(report.utterances, 'utterance')}, {span(report.audio_s)}: {report.sound}",
    )
    yield "rounds", f"{report.repeat}, each with the whole sound"
    yield "device", f"{report.device_name}, {report.engine} code, {_how(report)}"
    yield "time", ", ".join(f"{name} {seconds:.2f} s" for name, seconds in phases.items())
    yield "before", f"opening {report.load_s:.1f} s, warm-up {report.compile_s:.1f} s (not counted)"
    yield "memory", f"{report.peak_memory_mb:,.0f} MB at most"
    yield (
        "samples",
        (
            f"{habana.tokens_per_ms:,.0f} a millisecond, {habana.ms_per_10k_tokens:.3f} ms for "
            "10,000 (wav2vec.py's tokens)"
        ),
    )
    if report.failed:
        yield "failed", count(report.failed, "utterance")
    if report.baseline is not None:
        yield "baseline", _describe_baseline(report)


def _describe_baseline(report: BenchReport) -> str:
    baseline = report.baseline
    if baseline is None:
        return ""
    same = (
        ""
        if report.random_weights
        else f", same text for {baseline.same_text:,} of {baseline.utterances:,}"
    )
    return (
        f"{baseline.name}, {baseline.dtype}, batch {baseline.batch}, in turns with us: "
        f"{_rate(baseline.rtfx)} times real time{same}"
    )


def _how(report: BenchReport) -> str:
    graphs = f"{report.graphs_captured} graphs" if report.graphs else "no graphs"
    if report.side_by_side == 1:
        return graphs
    return f"{graphs}, {report.side_by_side} utterances side by side, each on one thread"


def show_profile(rows: Sequence[OperatorShare]) -> None:
    """The operators that took longest."""
    table = new_table("operator", ">share", ">calls")
    for row in rows:
        table.add_row(Text(row.operator), percent(row.share), f"{row.calls:,}")
    show_table("where the network's time goes", table)


def show_comparison(results: Sequence[SavedResult]) -> None:
    """Saved results side by side; the ratio is to the first."""
    table = new_table(
        "file", "model", "device", "dtype", ">RTFx", ">ratio", ">p50 ms", ">p95 ms", ">MB", ">WER"
    )
    first = results[0].result["rtfx"]
    for one in results:
        result, latency = one.result, one.result["latency_ms"]
        score = result.get("score")
        table.add_row(
            Text(one.path.name),
            Text(result["model"]),
            Text(result["device"]),
            result["dtype"],
            _rate(result["rtfx"]),
            f"{result['rtfx'] / first:.2f}" if first else "-",
            _ms(latency["p50"]),
            _ms(latency["p95"]),
            f"{result['peak_memory_mb']:,.0f}",
            "-" if score is None else percent(score["wer"]),
        )
    show_table("saved results", table)


def _rate(rtfx: float) -> str:
    return f"{rtfx:,.0f}" if rtfx >= 100 else f"{rtfx:.1f}"


def _ms(milliseconds: float) -> str:
    return f"{milliseconds:,.0f}" if milliseconds >= 10 else f"{milliseconds:.1f}"

"""Tables of a benchmark: RTFx, latency, phases, memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.table import Table
from rich.text import Text

from gaudi_asr_cli.core.benchmarking.figures import GenerationFigures
from gaudi_asr_cli.core.benchmarking.profiling import OperatorShare
from gaudi_asr_cli.core.benchmarking.saved import SavedResult
from gaudi_asr_cli.core.workflows.bench import BenchReport
from gaudi_asr_cli.ui.messages import show_line
from gaudi_asr_cli.ui.numbers import count, padding, percent, span
from gaudi_asr_cli.ui.score import show_score
from gaudi_asr_cli.ui.tables import new_table, show_facts, show_table


def show_bench(report: BenchReport) -> None:
    """Show the details first and the RTFx last, next to the prompt."""
    show_buckets(report)
    if report.profile:
        show_profile(report.profile)
    if report.score is not None:
        show_score(report.score)
    show_table(f"{report.model} on {report.device}, {report.dtype}", _speed_table(report))
    show_facts(*_facts(report))
    if report.random_weights:
        show_line("Random weights recognise no words, so there is no word error rate.", "dim")


def show_buckets(report: BenchReport) -> None:
    """Show latency and padding by bucket, and overall."""
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


def _speed_table(report: BenchReport) -> Table:
    table = new_table("", ">median", ">min", ">max")
    rtfx, wall_s, baseline = report.rtfx, report.wall_s, report.baseline
    table.add_row(
        "RTFx",
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
            "speed-up over transformers",
            *(f"{one:.2f}" for one in (ratio.median, ratio.minimum, ratio.maximum)),
        )
    return table


def _facts(report: BenchReport) -> Iterable[tuple[str, str]]:
    habana, phases = report.habana, report.phases_s
    yield (
        "audio",
        f"{count(report.utterances, 'utterance')}, {span(report.audio_s)}: {report.sound}",
    )
    yield "repeats", f"{report.repeat}, each over all the audio"
    yield "device", f"{report.device_name}, {report.engine} engine, {_describe_execution(report)}"
    yield "phases", ", ".join(f"{name} {seconds:.2f} s" for name, seconds in phases.items())
    yield "startup", f"load {report.load_s:.1f} s, warm-up {report.compile_s:.1f} s (not counted)"
    yield "memory", f"{report.peak_memory_mb:,.0f} MB peak"
    yield (
        "samples",
        (
            f"{habana.tokens_per_ms:,.0f} per millisecond, {habana.ms_per_10k_tokens:.3f} ms per "
            "10,000 (the tokens of wav2vec.py)"
        ),
    )
    if report.generation is not None:
        yield "tokens", _describe_generation(report.generation)
    if report.failed:
        yield "failed", count(report.failed, "utterance")
    if report.baseline is not None:
        yield "baseline", _describe_baseline(report)


def _describe_generation(figures: GenerationFigures) -> str:
    first = figures.first_token_ms
    return (
        f"{figures.tokens:,} generated, {figures.tokens_per_s.median:,.1f} per second; the first "
        f"after {_ms(first.p50)} ms (p50), {_ms(first.p95)} ms (p95)"
    )


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
        f"{baseline.name}, {baseline.dtype}, batch size {baseline.batch}, interleaved: "
        f"RTFx {_rate(baseline.rtfx)}{same}"
    )


def _describe_execution(report: BenchReport) -> str:
    graphs = f"{report.graphs_captured} graphs" if report.graphs else "no graphs"
    if report.side_by_side == 1:
        return graphs
    return f"{graphs}, {report.side_by_side} utterances in parallel, each on one thread"


def show_profile(rows: Sequence[OperatorShare]) -> None:
    """Show the slowest operators."""
    table = new_table("operator", ">share", ">calls")
    for row in rows:
        table.add_row(Text(row.operator), percent(row.share), f"{row.calls:,}")
    show_table("network time by operator", table)


def show_comparison(results: Sequence[SavedResult]) -> None:
    """Show saved results in one table; the ratio is to the first."""
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

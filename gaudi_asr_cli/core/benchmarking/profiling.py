"""Profiling of torch operators, on a CPU or an accelerator."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gaudi_asr_cli.core.benchmarking.repeats import Repeats
from gaudi_asr_cli.core.models.threads import threads

MAX_OPERATORS = 12
MAX_UTTERANCES = 16
"""A profile of every operator is large; a few utterances show where the time goes."""


@dataclass(frozen=True, slots=True)
class OperatorShare:
    """The share of an operator's own time in the total, and its number of calls."""

    operator: str
    share: float
    calls: int


def profile_repeat(repeats: Repeats) -> tuple[OperatorShare, ...]:
    """Profile one more pass over the first utterances; return operators, slowest first."""
    from torch.profiler import profile

    few = repeats.workload.utterances[:MAX_UTTERANCES]
    short = replace(repeats, workload=replace(repeats.workload, utterances=few))
    # Without a list of activities the profiler records all that the machine has, but only on the
    # thread that starts it: with one thread no utterance is transcribed on another.
    with threads(1), profile() as profiler:
        short.transcribe_clips("profile")
    rows = [
        (row.key, row.self_cpu_time_total, getattr(row, "self_device_time_total", 0.0), row.count)
        for row in profiler.key_averages()
    ]
    # With an accelerator, CPU time is mostly waiting for it.
    on_device = any(device > 0 for _, _, device, _ in rows)
    times = [(key, device if on_device else host, calls) for key, host, device, calls in rows]
    total = sum(time for _, time, _ in times) or 1.0
    times.sort(key=lambda row: -row[1])
    return tuple(
        OperatorShare(key, time / total, calls) for key, time, calls in times[:MAX_OPERATORS]
    )

"""Which of torch's operators take longest, on the processor and on an accelerator."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gaudi_asr_cli.core.benchmarking.repeats import Repeats
from gaudi_asr_cli.core.models.threads import threads

MOST_OPERATORS = 12
MOST_UTTERANCES = 16
"""A profile of every operator is large; these few show where the time goes."""


@dataclass(frozen=True, slots=True)
class OperatorShare:
    """An operator's own share of all time, and how often it was called."""

    operator: str
    share: float
    calls: int


def profile_round(rounds: Repeats) -> tuple[OperatorShare, ...]:
    """The operators of one more round over the first utterances, the costliest first."""
    from torch.profiler import profile

    few = rounds.workload.utterances[:MOST_UTTERANCES]
    short = replace(rounds, workload=replace(rounds.workload, utterances=few))
    # Without a list of activities the profiler takes all that the machine has, but only the
    # thread that starts it: with one thread no utterance is heard on another.
    with threads(1), profile() as profiler:
        short.transcribe_clips("profile")
    rows = [
        (row.key, row.self_cpu_time_total, getattr(row, "self_device_time_total", 0.0), row.count)
        for row in profiler.key_averages()
    ]
    # Where an accelerator works, the processor's time is mostly waiting for it.
    on_device = any(device > 0 for _, _, device, _ in rows)
    times = [(key, device if on_device else host, calls) for key, host, device, calls in rows]
    total = sum(time for _, time, _ in times) or 1.0
    times.sort(key=lambda row: -row[1])
    return tuple(
        OperatorShare(key, time / total, calls) for key, time, calls in times[:MOST_OPERATORS]
    )

"""Padding of optimal bucket edges compared with quantile edges.

    python benchmarks/padding.py                           modelled test-clean durations
    python ../shared/data/durations.py clean-100 | python benchmarks/padding.py -
    python benchmarks/padding.py durations.txt --batch-seconds 160
    python benchmarks/padding.py --utterances 10000000    time and memory of planning

A file has one duration in seconds per line. Padding is padded over real audio, minus one; a batch
never exceeds its budget, and the last batch of a bucket is filled with dummy rows.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from pathlib import Path

import numpy as np
from machine import describe_machine

from gaudi_asr_cli.core.benchmarking.synthetic import TEST_CLEAN_UTTERANCES, draw_durations_s
from gaudi_asr_cli.core.data.buckets import RULES, Batching, plan_arrays

BUCKETS = (4, 5, 6, 8)


def read_durations(source: str | None, utterances: int) -> np.ndarray:
    """Read durations from a file or standard input, or draw modelled ones."""
    if source is None:
        return draw_durations_s(utterances, seed=0)
    text = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
    return np.array([float(line) for line in text.split()])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("durations", nargs="?", help="file, or - for standard input")
    parser.add_argument("--utterances", type=int, default=TEST_CLEAN_UTTERANCES)
    parser.add_argument("--batch-seconds", type=float, default=160.0)
    options = parser.parse_args()

    print(describe_machine(packages=("numpy",)))
    durations_s = read_durations(options.durations, options.utterances)
    print(
        f"{len(durations_s):,} utterances, {durations_s.sum() / 3600:,.1f} h, mean "
        f"{durations_s.mean():.2f} s, at most {durations_s.max():.1f} s"
        + (" (modelled on LibriSpeech test-clean)" if options.durations is None else "")
    )
    print(
        "buckets  rule      padding  with dummy rows  batches  shapes  planned in  edges in seconds"
    )
    for buckets in BUCKETS:
        for rule, choose in RULES.items():
            started = time.perf_counter()
            edges_s = tuple(choose(durations_s, buckets))
            plan = plan_arrays(
                durations_s, Batching(edges_s, options.batch_seconds, static_shapes=True)
            )
            seconds = time.perf_counter() - started
            shapes = np.unique(np.stack([plan.rows, plan.padded_s, plan.label_tokens]), axis=1)
            padded_s, audio_s = (plan.rows * plan.padded_s).sum(), durations_s[plan.order].sum()
            bucketed_s = np.array(edges_s)[
                np.searchsorted(np.array(edges_s) + 1e-6, durations_s)
            ].sum()
            print(
                f"{buckets:7}  {rule:8}  {100 * (bucketed_s / durations_s.sum() - 1):5.1f} %  "
                f"{100 * (padded_s / audio_s - 1):13.1f} %  {len(plan):7,}  {shapes.shape[1]:6}  "
                f"{seconds:8.2f} s  {' '.join(f'{edge:.2f}' for edge in edges_s)}"
            )
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory {peak_mb:,.0f} MB")


if __name__ == "__main__":
    main()

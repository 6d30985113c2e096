"""Figures in the units of Habana's wav2vec.py, whose "token" is one audio sample at 16 kHz.

Source: HabanaAI/Model-References, PyTorch/audio/wav2vec2/inference/wav2vec.py (removed in 1.22.0).
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gaudi_asr_cli.core.benchmarking.saved import open_new
from gaudi_asr_cli.core.inference.results import TimedResult
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ

CSV_COLUMNS = ("length", "tokenize", "compute", "decode", "e2e", "ms per 10k")
TOKENS = 10_000


@dataclass(frozen=True, slots=True)
class HabanaFigures:
    """Figures named as in the output of wav2vec.py; its `rtf` is RTFx: higher is faster."""

    tokens: int
    tokens_per_ms: float
    ms_per_10k_tokens: float
    ms_per_sample: float
    rtf: float


def habana_figures(audio_s: float, utterances: int, wall_s: float) -> HabanaFigures:
    """Return what wav2vec.py would have printed for this audio and wall time, in seconds."""
    tokens = round(audio_s * SAMPLE_RATE_HZ)
    wall_ms = max(1000.0 * wall_s, 1e-9)
    return HabanaFigures(
        tokens=tokens,
        tokens_per_ms=tokens / wall_ms,
        ms_per_10k_tokens=wall_ms / max(tokens, 1) * TOKENS,
        ms_per_sample=wall_ms / max(utterances, 1),
        rtf=1000.0 * audio_s / wall_ms,
    )


def write_perf_csv(path: Path, results: Sequence[TimedResult]) -> None:
    """Write a CSV with a line per utterance: its samples, then milliseconds.

    Unlike in wav2vec.py's file, each line is one utterance, and lines are in input order.

    Raises:
        UsageError: The file already exists.
    """
    with open_new(path) as file:
        writer = csv.writer(file)
        writer.writerow(CSV_COLUMNS)
        for one in results:
            writer.writerow(_csv_row(one))


def _csv_row(result: TimedResult) -> list[str]:
    timing = result.timing
    samples = round(result.done.duration_s * SAMPLE_RATE_HZ)
    parts_s = (
        timing.features_s,
        timing.compute_s + timing.copy_s,
        timing.text_s,
        timing.latency_s,
        timing.latency_s / max(samples, 1) * TOKENS,
    )
    return [str(samples), *(f"{1000 * part_s:.4f}" for part_s in parts_s)]

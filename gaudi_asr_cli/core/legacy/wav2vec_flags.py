"""Flags of Habana's wav2vec.py, the inference benchmark of Model-References."""

from __future__ import annotations

from gaudi_asr_cli.core.legacy.flags import FlagStatus, OldFlag, Takes, dropped, moved


def _kept(name: str, takes: Takes) -> OldFlag:
    return OldFlag(name, takes, FlagStatus.KEPT, becomes=f"--{name}")


WAV2VEC_FLAGS: tuple[OldFlag, ...] = (
    _kept("dtype", "text"),
    _kept("buckets", "number"),
    _kept("limit", "number"),
    _kept("repeat", "number"),
    _kept("large", "switch"),
    _kept("profile", "switch"),
    _kept("accuracy", "switch"),
    OldFlag(
        "perf", "switch", FlagStatus.KEPT, becomes="--perf",
        about="always shown; the script's perf_metric.csv is --perf-csv perf_metric.csv",
    ),
    moved("use_graphs", "switch", "--graphs"),
    moved("dev_clean_ds", "switch", "--data hf-internal-testing/librispeech_asr_dummy",
          "73 utterances"),
    moved("data_path", "text", "--data"),
    dropped("debug", "switch", "of Habana's runtime: set LOG_LEVEL_ALL in the environment"),
    dropped("multi_thread", "number", "text is written in threads, always"),
    dropped("graph_async", "number", "copies never wait here"),
)  # fmt: skip

"""Measurement of the training speed of a machine, from a few steps on synthetic audio."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ, AudioBatch, AudioSpan, Utterance
from gaudi_asr_cli.core.training.tasks.base import BATCH_METADATA, Task

CLIP_S = 4.0
LABELS = 12
REPEATS = 2


@dataclass(frozen=True, slots=True)
class ProbedStep:
    """Seconds of forward and backward (`learning_s`) of `sound_s` of audio, and of an update.

    The field names are keys of `recipes forecast --json`.
    """

    sound_s: float
    learning_s: float
    update_s: float


def probe_step(task: Task, clip_s: float = CLIP_S) -> ProbedStep:
    """Train on noise and return the fastest of `REPEATS` steps, after one warm-up step.

    The weights are changed: the task must not be used afterwards.
    """
    import torch

    clip_s = task.window_s or clip_s
    inputs = {name: value.to(task.device.torch_device) for name, value in _inputs(task, clip_s)}
    weights = [one for one in task.network.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=1e-9)
    task.network.train()

    def forward_backward() -> None:
        with task.device.autocast(task.dtype):
            loss = task.network(**inputs).loss
        loss.backward()

    def update() -> None:
        optimizer.step()
        optimizer.zero_grad()

    times = [(_time(task, forward_backward), _time(task, update)) for _ in range(1 + REPEATS)][1:]
    return ProbedStep(clip_s, min(one for one, _ in times), min(one for _, one in times))


def _inputs(task: Task, clip_s: float) -> list[tuple[str, Any]]:
    samples = round(clip_s * SAMPLE_RATE_HZ)
    noise = 0.1 * np.random.default_rng(0).standard_normal((1, samples), dtype=np.float32)
    utterance = Utterance("probe", AudioSpan(Path("probe"), duration_s=clip_s))
    batch = AudioBatch((utterance,), noise, np.array([samples], dtype=np.int64))
    # No equal neighbours, so that CTC can align all; their number hardly changes the time.
    labels = tuple(1 + position % 2 for position in range(LABELS))
    inputs = task.inputs(batch, [labels], width=len(labels), batch_size=None)
    return [(name, value) for name, value in inputs.items() if name not in BATCH_METADATA]


def _time(task: Task, work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    task.device.mark_step()
    task.device.synchronize()
    return time.perf_counter() - started

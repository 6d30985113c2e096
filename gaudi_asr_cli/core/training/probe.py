"""How fast a machine trains a model, from a step or two on a little sound."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ, AudioBatch, AudioSpan, Utterance
from gaudi_asr_cli.core.training.tasks.base import BATCH_METADATA, Task

SOUND_S = 4.0
LABELS = 12
ROUNDS = 2


@dataclass(frozen=True, slots=True)
class ProbedStep:
    """Seconds that `sound_s` of sound took there and back, and an update of the weights."""

    sound_s: float
    learning_s: float
    update_s: float


def probe_step(task: Task, sound_s: float = SOUND_S) -> ProbedStep:
    """Learn a little noise by heart and take the faster of two times, after one that warms up.

    The weights are changed: the task is good for nothing else afterwards.
    """
    import torch

    sound_s = task.window_s or sound_s
    inputs = {name: value.to(task.device.torch_device) for name, value in _inputs(task, sound_s)}
    weights = [one for one in task.network.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=1e-9)
    task.network.train()

    def learn() -> None:
        with task.device.autocast(task.dtype):
            loss = task.network(**inputs).loss
        loss.backward()

    def update() -> None:
        optimizer.step()
        optimizer.zero_grad()

    times = [(_time(task, learn), _time(task, update)) for _ in range(1 + ROUNDS)][1:]
    return ProbedStep(sound_s, min(one for one, _ in times), min(one for _, one in times))


def _inputs(task: Task, sound_s: float) -> list[tuple[str, Any]]:
    samples = round(sound_s * SAMPLE_RATE_HZ)
    sound = 0.1 * np.random.default_rng(0).standard_normal((1, samples), dtype=np.float32)
    utterance = Utterance("probe", AudioSpan(Path("probe"), duration_s=sound_s))
    batch = AudioBatch((utterance,), sound, np.array([samples], dtype=np.int64))
    # No two neighbours equal, so that CTC finds room for all; how many hardly matters to the time.
    labels = tuple(1 + place % 2 for place in range(LABELS))
    inputs = task.inputs(batch, [labels], width=len(labels), rows=None)
    return [(name, value) for name, value in inputs.items() if name not in BATCH_METADATA]


def _time(task: Task, work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    task.device.mark_step()
    task.device.synchronize()
    return time.perf_counter() - started

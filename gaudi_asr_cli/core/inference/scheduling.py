"""Sounds as they come, put together into batches of similar length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gaudi_asr_cli.core.data.buckets import ArrayPlan, Batching, choose_edges, plan_arrays
from gaudi_asr_cli.core.inference.ahead import until_failure
from gaudi_asr_cli.core.inference.batched import BatchRecognizer, PreparedBatch
from gaudi_asr_cli.core.inference.prefetch import Clip
from gaudi_asr_cli.core.inference.timing import PhaseClock
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ, AudioBatch

WINDOW_BATCHES = 8
"""So many batches' worth of sound are looked at together: longer windows pad less, hold more."""


@dataclass(frozen=True, slots=True)
class IndexedClip:
    """A sound and its place among all, counted from 0."""

    number: int
    sound: Clip


@dataclass(frozen=True, slots=True)
class UnbatchedWork:
    """A sound that is heard alone: too long for a batch, or with an error instead of samples."""

    member: IndexedClip


@dataclass(frozen=True, slots=True)
class BatchedWork:
    """Sounds that are heard at once; `row_s` is what each costs in padded audio."""

    members: tuple[IndexedClip, ...]
    prepared: PreparedBatch
    features_s: float
    row_s: float


Work = UnbatchedWork | BatchedWork


def plan_work(sounds: Iterable[Clip], model: BatchRecognizer, clock: PhaseClock) -> Iterator[Work]:
    """All sounds, those of a window in batches of similar length, each ready for the network.

    A window holds `WINDOW_BATCHES` budgets of sound, the first only one: somebody is waiting.
    """
    budget = model.batching.batch_s * SAMPLE_RATE_HZ
    batching = model.batching
    window: list[IndexedClip] = []
    held, most = 0, budget
    failures: list[Exception] = []
    for number, sound in enumerate(until_failure(sounds, failures)):
        member = IndexedClip(number, sound)
        if is_unbatched(sound, model.longest_s):
            yield UnbatchedWork(member)
            continue
        window.append(member)
        held += len(sound.samples)
        if held >= most:
            batching = _settle_edges(batching, window, model)
            yield from _cut(window, batching, model, clock)
            window, held, most = [], 0, WINDOW_BATCHES * budget
    if window:
        yield from _cut(window, _settle_edges(batching, window, model), model, clock)
    for failure in failures:
        raise failure


def is_unbatched(sound: Clip, longest_s: float) -> bool:
    """Whether a sound is cut into pieces, or could not be loaded at all."""
    if sound.error is not None or sound.is_long:
        return True
    return len(sound.samples) > longest_s * SAMPLE_RATE_HZ


def _settle_edges(
    batching: Batching, window: Sequence[IndexedClip], model: BatchRecognizer
) -> Batching:
    """Edges that suit the first window, and one that holds whatever comes later."""
    if not batching.static_shapes or batching.edges_s:
        return batching
    edges_s = choose_edges(_durations_s(window), max(1, model.buckets - 1))
    return replace(batching, edges_s=tuple(sorted({*edges_s, model.longest_s})))


def _durations_s(window: Sequence[IndexedClip]) -> list[float]:
    return [len(one.sound.samples) / SAMPLE_RATE_HZ for one in window]


def _cut(
    window: Sequence[IndexedClip], batching: Batching, model: BatchRecognizer, clock: PhaseClock
) -> Iterator[Work]:
    plan = plan_arrays(_durations_s(window), batching)
    for batch in range(len(plan)):
        members = tuple(window[index] for index in plan.members(batch).tolist())
        yield _prepare(members, plan, batch, model, clock)
    for index in plan.too_long.tolist():
        yield UnbatchedWork(window[index])


def _prepare(
    members: tuple[IndexedClip, ...],
    plan: ArrayPlan,
    batch: int,
    model: BatchRecognizer,
    clock: PhaseClock,
) -> BatchedWork:
    rows, width = int(plan.rows[batch]), model.width_of(float(plan.padded_s[batch]))
    with clock.time("features") as watch:
        samples = np.zeros((rows, width), dtype=np.float32)
        lengths = np.zeros(rows, dtype=np.int64)
        for row, member in enumerate(members):
            sound = member.sound.samples
            samples[row, : len(sound)] = sound
            lengths[row] = len(sound)
        utterances = tuple(member.sound.utterance for member in members)
        prepared = model.prepare(AudioBatch(utterances, samples, lengths))
    # What was read is in the batch now; the sounds themselves need not wait for their text.
    row_s = rows * width / SAMPLE_RATE_HZ / len(members)
    return BatchedWork(members, prepared, watch.seconds, row_s)

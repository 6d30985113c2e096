"""Batch scheduling: clips of similar length are batched as they arrive."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gaudi_asr_cli.core.data.buckets import ArrayPlan, Batching, choose_edges, plan_arrays
from gaudi_asr_cli.core.inference.ahead import until_failure
from gaudi_asr_cli.core.inference.prefetch import Clip
from gaudi_asr_cli.core.inference.recognizer import PreparedBatch, Recognizer
from gaudi_asr_cli.core.inference.timing import PhaseClock
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ, AudioBatch

WINDOW_BATCHES = 8
"""Batches of audio that are planned together: a longer window pads less but holds more."""


@dataclass(frozen=True, slots=True)
class IndexedClip:
    """A clip and its position in the input, counted from 0."""

    number: int
    clip: Clip


@dataclass(frozen=True, slots=True)
class UnbatchedWork:
    """A clip outside of any batch: too long for one, or with an error instead of samples."""

    member: IndexedClip


@dataclass(frozen=True, slots=True)
class BatchedWork:
    """Clips of one batch; `row_s` is the padded audio that each costs, in seconds."""

    members: tuple[IndexedClip, ...]
    prepared: PreparedBatch
    features_s: float
    row_s: float


Work = UnbatchedWork | BatchedWork


def plan_work(
    clips: Iterable[Clip], recognizer: Recognizer, batching: Batching, clock: PhaseClock
) -> Iterator[Work]:
    """Yield all clips, those of a window in batches of similar length, prepared for the network.

    A window holds `WINDOW_BATCHES` batches of audio; the first one holds a single batch, so that
    the first results come early.
    """
    budget = batching.batch_s * SAMPLE_RATE_HZ
    window: list[IndexedClip] = []
    held, max_held = 0, budget
    failures: list[Exception] = []
    for number, clip in enumerate(until_failure(clips, failures)):
        member = IndexedClip(number, clip)
        if is_unbatched(clip, recognizer.max_chunk_s):
            yield UnbatchedWork(member)
            continue
        window.append(member)
        held += len(clip.samples)
        if held >= max_held:
            batching = settle_edges(batching, _durations_s(window), recognizer)
            yield from _cut_batches(window, batching, recognizer, clock)
            window, held, max_held = [], 0, WINDOW_BATCHES * budget
    if window:
        batching = settle_edges(batching, _durations_s(window), recognizer)
        yield from _cut_batches(window, batching, recognizer, clock)
    for failure in failures:
        raise failure


def is_unbatched(clip: Clip, max_chunk_s: float) -> bool:
    """Return whether a clip is too long for a batch, silent, or could not be loaded at all."""
    if clip.error is not None or clip.is_long or clip.is_silent:
        return True
    return len(clip.samples) > max_chunk_s * SAMPLE_RATE_HZ


def settle_edges(
    batching: Batching, durations_s: Sequence[float], recognizer: Recognizer
) -> Batching:
    """Choose edges that suit clips of these lengths, and one that holds any later clip."""
    if not batching.static_shapes or batching.edges_s:
        return batching
    edges_s = choose_edges(durations_s, max(1, recognizer.buckets - 1))
    return replace(batching, edges_s=tuple(sorted({*edges_s, recognizer.max_chunk_s})))


def _durations_s(window: Sequence[IndexedClip]) -> list[float]:
    return [len(one.clip.samples) / SAMPLE_RATE_HZ for one in window]


def _cut_batches(
    window: Sequence[IndexedClip], batching: Batching, recognizer: Recognizer, clock: PhaseClock
) -> Iterator[Work]:
    plan = plan_arrays(_durations_s(window), batching)
    for batch in range(len(plan)):
        members = tuple(window[index] for index in plan.members(batch).tolist())
        yield _prepare(members, plan, batch, recognizer, clock)
    for index in plan.too_long.tolist():
        yield UnbatchedWork(window[index])


def _prepare(
    members: tuple[IndexedClip, ...],
    plan: ArrayPlan,
    batch: int,
    recognizer: Recognizer,
    clock: PhaseClock,
) -> BatchedWork:
    batch_size = int(plan.batch_sizes[batch])
    width = recognizer.count_samples(float(plan.padded_s[batch]))
    with clock.time("features") as watch:
        samples = np.zeros((batch_size, width), dtype=np.float32)  # (B, T)
        lengths = np.zeros(batch_size, dtype=np.int64)
        for row, member in enumerate(members):
            clip_samples = member.clip.samples
            samples[row, : len(clip_samples)] = clip_samples
            lengths[row] = len(clip_samples)
        utterances = tuple(member.clip.utterance for member in members)
        prepared = recognizer.prepare(AudioBatch(utterances, samples, lengths))
    row_s = batch_size * width / SAMPLE_RATE_HZ / len(members)
    return BatchedWork(members, prepared, watch.seconds, row_s)

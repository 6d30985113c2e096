import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gaudi_asr_cli.core.data.buckets import (
    GRID_S,
    Batching,
    choose_edges,
    choose_edges_auto,
    padded_ratio,
    plan_arrays,
    plan_epoch,
    quantile_edges,
)

DURATIONS_S = st.lists(st.floats(0.01, 40), min_size=1, max_size=60)


@given(DURATIONS_S, st.integers(1, 8), st.integers(0, 3))
def test_every_utterance_is_planned_once_or_too_long(durations_s, buckets, epoch):
    edges_s = tuple(choose_edges(durations_s[: len(durations_s) // 2 + 1], buckets))

    plan = plan_epoch(
        durations_s, [1] * len(durations_s), Batching(edges_s, 60.0), seed=1, epoch=epoch
    )

    planned = [index for batch in plan.batches for index in batch.indices]
    assert sorted([*planned, *plan.too_long]) == list(range(len(durations_s)))
    assert all(durations_s[index] > edges_s[-1] for index in plan.too_long)


@given(DURATIONS_S, st.integers(1, 5), st.floats(5, 80))
def test_a_batch_never_exceeds_its_budget_but_for_a_single_utterance(durations_s, buckets, budget):
    batching = Batching(tuple(choose_edges(durations_s, buckets)), budget, static_shapes=True)

    plan = plan_epoch(durations_s, [3] * len(durations_s), batching, seed=0, epoch=0)

    for batch in plan.batches:
        assert len(batch.indices) == 1 or batch.padded_s * len(batch.indices) <= budget + 1e-6


@given(DURATIONS_S, st.integers(1, 6))
def test_static_shapes_are_at_most_one_per_bucket(durations_s, buckets):
    batching = Batching(tuple(choose_edges(durations_s, buckets)), 50.0, static_shapes=True)
    labels = [1 + int(duration * 3) for duration in durations_s]

    plan = plan_epoch(durations_s, labels, batching, seed=0, epoch=0)

    assert len({(batch.padded_s, batch.label_tokens) for batch in plan.batches}) <= buckets


def padded_audio(durations_s, edges_s):
    return sum(next(edge for edge in edges_s if edge + 1e-6 >= one) for one in durations_s)


@settings(max_examples=40)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=9), st.integers(1, 4))
def test_edges_pad_as_little_as_an_exhaustive_search(cells, buckets):
    durations_s = [cell * GRID_S for cell in cells]
    candidates = sorted(set(durations_s))

    chosen = choose_edges(durations_s, buckets)

    possible = (
        [*inner, candidates[-1]]
        for count in range(min(buckets, len(candidates)))
        for inner in itertools.combinations(candidates[:-1], count)
    )
    best = min(padded_audio(durations_s, edges) for edges in possible)
    assert len(chosen) <= buckets
    assert padded_audio(durations_s, chosen) == pytest.approx(best)


def test_epochs_differ_but_each_is_reproducible():
    durations_s = [1 + index / 10 for index in range(40)]
    batching = Batching((5.0,), 20.0)

    first, again, second = (
        plan_epoch(durations_s, [1] * 40, batching, seed=7, epoch=epoch) for epoch in (0, 0, 1)
    )

    assert first == again
    assert first != second
    assert len(first.batches) == len(second.batches)


def test_a_fixed_batch_size_overrides_the_budget():
    plan = plan_epoch([1.0] * 7, [1] * 7, Batching((1.0,), 2.0, utterances=3), seed=0, epoch=0)

    assert sorted(len(batch.indices) for batch in plan.batches) == [1, 3, 3]


def test_padding_counts_what_was_added():
    plan = plan_epoch(
        [1.0, 2.0], [1, 1], Batching((2.0,), 9.0, static_shapes=True), seed=0, epoch=0
    )

    assert padded_ratio(plan, [1.0, 2.0]) == pytest.approx(4 / 3)


@given(DURATIONS_S, st.integers(1, 6), st.floats(0.5, 60), st.booleans(), st.integers(0, 5))
def test_an_array_plan_has_every_utterance_once_and_never_exceeds_its_budget(
    durations_s, buckets, budget_s, static, labelled
):
    edges_s = tuple(choose_edges(durations_s[: len(durations_s) // 2 + 1], buckets))
    labels = [1 + index * labelled for index in range(len(durations_s))]

    plan = plan_arrays(durations_s, Batching(edges_s, budget_s, static_shapes=static), labels)

    assert sorted([*plan.order, *plan.too_long]) == list(range(len(durations_s)))
    assert (plan.batch_sizes * plan.padded_s <= budget_s + 1e-6).all()
    for batch in range(len(plan)):
        members = plan.members(batch)
        assert 1 <= len(members) <= plan.batch_sizes[batch]
        assert max(durations_s[index] for index in members) <= plan.padded_s[batch] + 2e-6
        assert max(labels[index] for index in members) <= plan.label_tokens[batch]
    longest_s = min(edges_s[-1], budget_s)
    if not static:
        assert all(durations_s[index] > longest_s for index in plan.too_long)


@given(DURATIONS_S, st.integers(1, 6), st.floats(1, 60))
def test_a_static_plan_has_one_shape_per_bucket(durations_s, buckets, budget_s):
    edges_s = tuple(choose_edges(durations_s, buckets))
    labels = [int(duration * 3) for duration in durations_s]

    plan = plan_arrays(durations_s, Batching(edges_s, budget_s, static_shapes=True), labels)

    shapes = set(zip(plan.batch_sizes, plan.padded_s, plan.label_tokens, strict=True))
    assert len(shapes) <= len(edges_s)
    assert set(plan.padded_s) <= set(edges_s)
    assert len(plan.order) + len(plan.too_long) == len(durations_s)
    audio_s = sum(durations_s[index] for index in plan.order)
    assert (plan.batch_sizes * plan.padded_s).sum() >= (1 - 1e-6) * audio_s


def test_a_dynamic_plan_groups_similar_lengths_the_longest_first():
    plan = plan_arrays([1.0, 9.0, 2.0, 8.0, 1.5], Batching((), 18.0))

    assert [plan.members(batch).tolist() for batch in range(len(plan))] == [[1, 3], [2, 4, 0]]
    assert plan.padded_s.tolist() == [9.0, 2.0]


def test_a_plan_of_no_utterances_is_empty():
    assert len(plan_arrays([], Batching((), 10.0))) == 0
    assert len(plan_arrays([], Batching((1.0,), 10.0, static_shapes=True), [])) == 0
    assert choose_edges([], 3) == []
    assert choose_edges_auto([], 1.0) == []
    assert quantile_edges([], 3) == []


def habana_edges(lengths, buckets):
    """Compute edges with wav2vec.py's own lines (gaudi.md, section 4)."""
    lengths = sorted(lengths)
    count = len(lengths)
    step = count // buckets
    return [lengths[i] for i in range(count - 1 - (buckets - 1) * step, count, step)]


@given(st.lists(st.integers(1, 600_000), min_size=8, max_size=80), st.integers(1, 8))
def test_quantile_edges_equal_habanas(lengths, buckets):
    edges_s = quantile_edges([length / 16_000 for length in lengths], buckets)

    assert edges_s == [length / 16_000 for length in sorted({*habana_edges(lengths, buckets)})]


def test_with_fewer_utterances_than_buckets_each_duration_is_an_edge():
    assert quantile_edges([3.0, 1.0, 2.0], 8) == [1.0, 2.0, 3.0]


@settings(max_examples=30)
@given(DURATIONS_S, st.integers(2, 6))
def test_optimal_edges_never_pad_more_than_as_many_quantile_edges(durations_s, buckets):
    on_grid = [max(1, round(one / GRID_S)) * GRID_S for one in durations_s]

    optimal = padded_audio(on_grid, choose_edges(on_grid, buckets))

    assert optimal <= padded_audio(on_grid, quantile_edges(on_grid, buckets)) + 1e-6


def test_the_more_a_shape_costs_the_fewer_buckets_are_chosen():
    durations_s = np.random.default_rng(0).lognormal(1.8, 0.6, 3000)

    counts = [len(choose_edges_auto(durations_s, cost_s)) for cost_s in (0.0, 50.0, 500.0, 1e9)]

    assert counts == sorted(counts, reverse=True)
    assert counts[0] == 32
    assert counts[-1] == 1


def test_one_recording_of_several_hours_leaves_the_other_edges_optimal():
    random = np.random.default_rng(1)
    short = random.uniform(1, 30, 20_000)
    hours = random.uniform(60, 20_000, 3000)

    edges_s = choose_edges([*short, *hours], 20)
    few = choose_edges([*short, 10_800.0], 7)

    assert len(edges_s) == 20
    assert edges_s[-1] >= max(hours) - 1e-6
    assert sum(edge < 30.1 for edge in few) == 6
    assert few[-1] == pytest.approx(10_800.0)


def test_a_million_durations_are_planned_quickly():
    durations_s = np.random.default_rng(0).lognormal(1.8, 0.62, 1_000_000)
    started = time.process_time()

    edges_s = tuple(choose_edges(durations_s, 8))
    plan_arrays(durations_s, Batching(edges_s, 160.0, static_shapes=True))

    # Ten million may take 20 s; this leaves room for a busy machine.
    assert time.process_time() - started < 4

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gaudi_asr_cli.core.data.buckets import (
    GRID_S,
    Batching,
    choose_edges,
    padded_ratio,
    plan_epoch,
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
def test_static_shapes_are_at_most_one_a_bucket(durations_s, buckets):
    batching = Batching(tuple(choose_edges(durations_s, buckets)), 50.0, static_shapes=True)
    labels = [1 + int(duration * 3) for duration in durations_s]

    plan = plan_epoch(durations_s, labels, batching, seed=0, epoch=0)

    assert len({(batch.padded_s, batch.label_tokens) for batch in plan.batches}) <= buckets


def padded_audio(durations_s, edges_s):
    return sum(next(edge for edge in edges_s if edge + 1e-6 >= one) for one in durations_s)


@settings(max_examples=40)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=9), st.integers(1, 4))
def test_edges_pad_as_little_as_the_best_of_all_choices(cells, buckets):
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


def test_epochs_differ_but_an_epoch_is_always_the_same():
    durations_s = [1 + index / 10 for index in range(40)]
    batching = Batching((5.0,), 20.0)

    first, again, second = (
        plan_epoch(durations_s, [1] * 40, batching, seed=7, epoch=epoch) for epoch in (0, 0, 1)
    )

    assert first == again
    assert first != second
    assert len(first.batches) == len(second.batches)


def test_a_fixed_number_of_utterances_overrides_the_budget():
    plan = plan_epoch([1.0] * 7, [1] * 7, Batching((1.0,), 2.0, utterances=3), seed=0, epoch=0)

    assert sorted(len(batch.indices) for batch in plan.batches) == [1, 3, 3]


def test_padding_counts_what_was_added():
    plan = plan_epoch(
        [1.0, 2.0], [1, 1], Batching((2.0,), 9.0, static_shapes=True), seed=0, epoch=0
    )

    assert padded_ratio(plan, [1.0, 2.0]) == pytest.approx(4 / 3)

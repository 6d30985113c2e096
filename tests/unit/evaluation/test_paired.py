import itertools
from functools import partial

import numpy as np
import pytest

from gaudi_asr_cli.core.evaluation.paired import (
    MIN_PAIRED_SPEAKERS,
    PairedCounts,
    compare_paired,
    group_utterances,
    holm,
    permutation_p,
)
from gaudi_asr_cli.core.workflows.compare.verdict import Decision, judge_difference

SPEAKERS, PER_SPEAKER, WORDS = 20, 10, 12
DRAWS = 1000
quick = partial(compare_paired, replicates=200, permutations=400)


def draw(generator, rate_a, rate_b, *, spread=0.02):
    """Errors of two systems; each does better or worse with each speaker by chance."""

    def errors(rate):
        own = np.clip(generator.normal(rate, spread, SPEAKERS), 0.001, 1)
        return generator.binomial(WORDS, np.repeat(own, PER_SPEAKER))

    number = SPEAKERS * PER_SPEAKER
    groups = np.repeat(np.arange(SPEAKERS), PER_SPEAKER)
    lengths = np.full(number, WORDS)
    return PairedCounts(errors(rate_a), errors(rate_b), lengths, groups, "speakers")


def verdict_of(counts, tolerance=0.0):
    beyond = permutation_p(counts, tolerance, permutations=400)
    return judge_difference(
        Decision(quick(counts), "WER", tolerance, 0.95, beyond), "A", "B"
    ).outcome


def test_false_alarms_stay_within_the_level_over_1000_draws():
    generator = np.random.default_rng(1)
    draws = [draw(generator, 0.046, 0.046) for _ in range(DRAWS)]

    outcomes = [verdict_of(one) for one in draws]
    p_values = [permutation_p(one, permutations=400) for one in draws]

    # Four standard deviations of the number of alarms above its mean.
    assert sum(p <= 0.05 for p in p_values) < DRAWS * 0.05 + 4 * (DRAWS * 0.05 * 0.95) ** 0.5
    assert outcomes.count("worse") < DRAWS * 0.025 + 4 * (DRAWS * 0.025 * 0.975) ** 0.5
    assert outcomes.count("worse") + outcomes.count("better") > 0


def test_a_difference_of_exactly_the_tolerance_is_within_it():
    generator = np.random.default_rng(2)

    outcomes = [verdict_of(draw(generator, 0.046, 0.056), tolerance=0.01) for _ in range(300)]

    assert outcomes.count("worse") < 300 * 0.025 + 4 * (300 * 0.025 * 0.975) ** 0.5


def test_a_real_difference_is_found_in_nearly_every_draw():
    generator = np.random.default_rng(3)

    large = [verdict_of(draw(generator, 0.046, 0.111)) for _ in range(50)]
    small = [verdict_of(draw(generator, 0.046, 0.075)) for _ in range(100)]

    assert large == ["worse"] * 50
    assert small.count("worse") > 70


def test_resampling_utterances_of_few_speakers_would_raise_false_alarms():
    generator = np.random.default_rng(4)
    draws = [draw(generator, 0.08, 0.08, spread=0.06) for _ in range(200)]

    by_speaker = sum(permutation_p(one, permutations=200) <= 0.05 for one in draws)
    alone = sum(permutation_p(one.by_utterance(), permutations=200) <= 0.05 for one in draws)

    assert alone > 3 * by_speaker


def test_the_bounds_are_the_quantiles_of_every_possible_draw():
    # Differences of 0, 2 and 6 errors in three utterances of four words.
    counts = PairedCounts(
        np.array([4, 2, 0]), np.array([4, 4, 6]), np.array([4, 4, 4]), np.arange(3), "utterances"
    )
    draws = sorted(sum(one) / 12 for one in itertools.product([0, 2, 6], repeat=3))

    test = compare_paired(counts, replicates=20_000, level=0.5)

    assert test.low == pytest.approx(draws[len(draws) // 4])
    assert test.high == pytest.approx(draws[-len(draws) // 4])
    assert (test.rate_a, test.rate_b) == (0.5, pytest.approx(14 / 12))


def test_the_p_value_of_few_utterances_is_that_of_every_exchange():
    a, b = np.array([0, 0, 1, 3]), np.array([2, 1, 2, 2])
    counts = PairedCounts(a, b, np.full(4, 5), np.arange(4), "utterances")
    sums = [np.dot(signs, b - a) for signs in itertools.product([1, -1], repeat=4)]

    expected = np.mean([abs(one) >= abs((b - a).sum()) for one in sums])

    assert permutation_p(counts) == expected


def test_the_random_exchanges_agree_with_all_of_them():
    generator = np.random.default_rng(5)
    a, b = generator.integers(0, 4, 14), generator.integers(0, 5, 14)
    a[a == b] += 1  # fourteen groups that differ are more than are enumerated
    counts = PairedCounts(a, b, np.full(14, 9), np.arange(14), "utterances")
    signs = np.array([*itertools.product([1, -1], repeat=14)])
    exact = np.mean(np.abs(signs @ (b - a)) >= abs((b - a).sum()))

    assert permutation_p(counts, permutations=20_000) == pytest.approx(exact, abs=0.02)


def test_equal_systems_do_not_differ():
    counts = PairedCounts(np.ones(9), np.ones(9), np.full(9, 5), np.arange(9), "utterances")

    test = compare_paired(counts)

    assert (test.difference, test.low, test.high, test.p) == (0, 0, 0, 1)


def test_speakers_are_groups_if_there_are_enough_and_unknown_ones_are_alone():
    enough = [str(number) for number in range(MIN_PAIRED_SPEAKERS)]

    groups, resampled = group_utterances([*enough, "0", None, None])
    alone, fallback = group_utterances([*enough[1:], "1"])

    assert (len(set(groups)), groups[0] == groups[-3], resampled) == (8, True, "speakers")
    assert (len(set(alone)), fallback) == (MIN_PAIRED_SPEAKERS, "utterances")


def test_p_values_are_adjusted_for_their_number():
    # Holm 1979: 0.01 x 3, 0.02 x 2, 0.04 x 1, never falling.
    assert holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []

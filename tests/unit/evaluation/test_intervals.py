import itertools

import pytest

from gaudi_asr_cli.core.evaluation.intervals import bootstrap_wer
from gaudi_asr_cli.core.records import ErrorCounts, ScoredUtterance


def scored(hits, substitutions=0, insertions=0, speaker=None):
    words = ErrorCounts(hits, substitutions, 0, insertions)
    return ScoredUtterance("u", "p", "", "", "", "", words, words, words, words, 1.0, speaker)


def test_the_bounds_are_the_quantiles_of_every_possible_draw():
    # Three utterances of four words with 0, 2 and 4 errors: 27 equally likely draws.
    draws = sorted(sum(draw) / 12 for draw in itertools.product([0, 2, 4], repeat=3))

    low, high = bootstrap_wer([scored(4), scored(2, 2), scored(0, 4)], replicates=20_000, level=0.5)

    assert low == pytest.approx(draws[len(draws) // 4])
    assert high == pytest.approx(draws[-len(draws) // 4])


def test_whole_speakers_are_resampled_so_the_interval_is_wider():
    by_speaker = [scored(10 - s, s, speaker=str(s)) for s in range(8) for _ in range(20)]
    alone = [scored(10 - s, s) for s in range(8) for _ in range(20)]

    low, high = bootstrap_wer(by_speaker)
    low_alone, high_alone = bootstrap_wer(alone)

    assert high - low > 2 * (high_alone - low_alone)


def test_with_few_speakers_utterances_are_resampled():
    few = [scored(10 - s, s, speaker=str(s % 4)) for s in range(8)]
    none = [scored(10 - s, s) for s in range(8)]

    assert bootstrap_wer(few) == bootstrap_wer(none)


def test_utterances_without_a_speaker_are_resampled_individually():
    known = [scored(9, 1, speaker=str(s)) for s in range(5)]

    low, high = bootstrap_wer([*known, *[scored(0, 10)] * 5])

    assert 0.1 < low < 0.4 < 0.7 < high < 1.0


def test_the_interval_is_reproducible_by_its_seed():
    data = [scored(20 - i % 7, i % 7) for i in range(50)]

    assert bootstrap_wer(data, seed=1) == bootstrap_wer(data, seed=1)
    assert bootstrap_wer(data, seed=1) != bootstrap_wer(data, seed=2)


def test_replicates_do_not_depend_on_how_many_fit_in_memory(monkeypatch):
    data = [scored(20 - i % 7, i % 7) for i in range(50)]
    at_once = bootstrap_wer(data)
    monkeypatch.setattr("gaudi_asr_cli.core.evaluation.intervals._DRAWS_AT_ONCE", 170)

    assert bootstrap_wer(data) == at_once


def test_no_utterance_and_no_reference_word_have_an_interval():
    assert bootstrap_wer([]) == (0.0, 0.0)
    assert bootstrap_wer([scored(0)]) == (0.0, 0.0)
    assert bootstrap_wer([scored(0, insertions=2)]) == (2.0, 2.0)

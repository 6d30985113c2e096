"""The beam search of one utterance: what goes on, what has ended, and when it is done."""

import math

import pytest

from gaudi_asr_cli.core.models.cpu.whisper_beams import (
    BeamSettings,
    Continuation,
    UtteranceSearch,
)

END = 0


def open_search(beams=2, longest=9, **settings):
    return UtteranceSearch(BeamSettings(beams, longest, frozenset({END}), **settings))


def advance(search, *continuations):
    return search.advance([Continuation(*one) for one in continuations])


def test_hypotheses_go_on_from_where_they_were():
    search = open_search()

    advance(search, (-1.0, 0, 5), (-2.0, 0, 6), (-3.0, 0, 7))
    kept = advance(search, (-2.5, 1, 8), (-2.6, 0, 9), (-2.7, 0, 8))

    assert search.hypotheses == [[6, 8], [5, 9]]
    assert [one.score for one in kept] == [-2.5, -2.6]
    assert not search.is_done


def test_a_text_that_ends_leaves_room_for_another_hypothesis():
    search = open_search()

    kept = advance(search, (-1.0, 0, END), (-2.0, 0, 6), (-3.0, 0, 7), (-4.0, 0, 8))

    assert [one.token for one in kept] == [6, 7]
    assert search.best == [END]


def test_an_end_that_is_not_among_the_best_is_no_text():
    search = open_search()

    advance(search, (-1.0, 0, 5), (-2.0, 0, 6), (-3.0, 0, END), (-4.0, 0, 8))

    assert search.best == [5]


def test_the_search_goes_on_while_the_best_hypothesis_may_win():
    search = open_search()
    advance(search, (-1.0, 0, END), (-1.1, 0, 6), (-1.2, 0, 7))

    # Two tokens at -2.4 are better than one at -1.3, but not than one at -1.1.
    advance(search, (-2.0, 0, 8), (-2.2, 1, END), (-2.4, 1, 9))
    assert not search.is_done
    advance(search, (-4.0, 0, 8), (-4.1, 1, 9))

    assert search.is_done
    assert search.best == [END]


@pytest.mark.parametrize(
    ("stopping", "done", "done_later"),
    [(True, True, True), (False, False, True), ("never", False, False)],
)
def test_early_stopping_says_when_a_full_search_is_done(stopping, done, done_later):
    search = open_search(early_stopping=stopping)
    advance(search, (-1.0, 0, END), (-1.1, 0, 6), (-1.2, 0, 7))

    advance(search, (-2.0, 0, 8), (-3.0, 1, END), (-3.1, 1, 9))
    assert search.is_done is done
    advance(search, (-5.0, 0, 8), (-5.1, 1, 9))

    assert search.is_done is done_later


def test_a_search_ends_with_the_longest_text():
    search = open_search(longest=2)
    advance(search, (-1.0, 0, 5), (-2.0, 0, 6))

    kept = advance(search, (-1.5, 0, 8), (-1.6, 1, 9))

    assert search.is_done
    assert not kept
    assert search.best == [5, 8]


def test_a_length_penalty_ranks_texts_by_their_length():
    ranked = {}
    for penalty in (0.0, 3.0):
        search = open_search(length_penalty=penalty, longest=2)
        advance(search, (-1.0, 0, END), (-1.1, 0, 6), (-1.2, 0, 7))
        advance(search, (-1.9, 0, END), (-2.0, 1, 9))
        ranked[penalty] = search.best

    assert ranked == {0.0: [END], 3.0: [6, END]}


def test_forbidden_tokens_do_not_go_on():
    search = open_search()

    kept = advance(search, (-1.0, 0, 5), (-math.inf, 0, 6))

    assert search.hypotheses == [[5]]
    assert len(kept) == 1
    assert not search.is_done
    assert not advance(search, (-math.inf, 0, 5), (-math.inf, 0, 6))
    assert search.is_done
    assert search.best == [5]

from helpers.edit_distance import count_edits
from hypothesis import given
from hypothesis import strategies as st

from gaudi_asr_cli.core.evaluation.counts import count_errors

WORDS = st.lists(st.sampled_from(["one", "two", "too", "o", "oh", "\u00e9"]), max_size=12)


@given(WORDS, WORDS)
def test_word_errors_are_the_edit_distance(reference, hypothesis):
    counts = count_errors(reference, hypothesis)

    assert counts.errors == count_edits(reference, hypothesis)
    assert counts.reference_length == len(reference)
    assert counts.hits + counts.substitutions + counts.insertions == len(hypothesis)


@given(st.text(), st.text())
def test_character_errors_are_the_edit_distance(reference, hypothesis):
    counts = count_errors(reference, hypothesis)

    assert counts.errors == count_edits(reference, hypothesis)
    assert counts.reference_length == len(reference)

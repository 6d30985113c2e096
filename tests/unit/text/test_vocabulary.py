import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.records import Vocabulary
from gaudi_asr_cli.core.text.vocabulary import (
    build_vocabulary,
    encode,
    suggest_case,
    unknown_characters,
    vocabulary_hash,
)

LATIN = build_vocabulary(dict.fromkeys(string.ascii_lowercase + "' ", 1))


def test_columns_are_delimiter_characters_unknown_blank():
    vocabulary = build_vocabulary({"b": 2, "a": 5, " ": 3})

    assert vocabulary == Vocabulary(
        ("|", "a", "b", "[UNK]", "[PAD]"),
        blank=4,
        delimiter=0,
        unknown=3,
        special=frozenset({3, 4}),
    )


def test_rare_characters_are_left_to_the_unknown_token():
    vocabulary = build_vocabulary({"a": 5, "q": 1}, min_count=2)

    assert "q" not in vocabulary.tokens
    assert encode(vocabulary, "aq") == (1, vocabulary.unknown)


@given(st.text(string.ascii_lowercase + "' "))
def test_encoding_keeps_every_letter_doubled_ones_included(text):
    decoded = "".join(LATIN.tokens[column] for column in encode(LATIN, text))

    assert decoded == "|".join(text.split())


def test_what_is_not_known_is_unknown_also_in_the_shape_of_a_special_token():
    ids = encode(LATIN, "a|[PAD]")

    assert ids == (LATIN.tokens.index("a"), *[LATIN.unknown] * 6)
    assert unknown_characters(LATIN, "a|[PAD] b") == set("|[PAD]")


def test_the_longest_token_wins():
    phonemes = Vocabulary(("<pad>", "a", "a\u026a", "\u026a"), blank=0, special=frozenset({0}))

    assert encode(phonemes, "a\u026aa") == (2, 1)


def test_without_a_delimiter_spaces_are_skipped():
    characters = Vocabulary(("<pad>", "a"), blank=0, special=frozenset({0}))

    assert encode(characters, "a a") == (1, 1)


def test_a_character_without_a_token_is_rejected():
    characters = Vocabulary(("<pad>", "a"), blank=0, special=frozenset({0}))

    with pytest.raises(DataError, match="'b'"):
        encode(characters, "ab")


def test_the_delimiter_as_a_character_of_the_text_is_rejected():
    with pytest.raises(DataError, match=r"'\|'"):
        build_vocabulary({"a": 1, "|": 1})


def test_an_empty_vocabulary_is_rejected():
    with pytest.raises(DataError, match="No character"):
        build_vocabulary({" ": 4, "a": 1}, min_count=2)


def test_special_tokens_must_differ():
    with pytest.raises(DataError, match="must differ"):
        build_vocabulary({"a": 1}, unknown="<x>", blank="<x>")


@pytest.mark.parametrize(
    ("letters", "text", "case"),
    [
        (string.ascii_uppercase, "hello world", "upper"),
        (string.ascii_lowercase, "HELLO WORLD", "lower"),
        (string.ascii_lowercase, "hello world", "keep"),
        (string.ascii_letters, "Hello World", "keep"),
        (string.ascii_uppercase, "12 34", "keep"),
    ],
)
def test_the_case_that_the_vocabulary_knows_is_suggested(letters, text, case):
    vocabulary = build_vocabulary(dict.fromkeys(letters, 1))

    assert suggest_case(vocabulary, text) == case


def test_the_hash_depends_on_tokens_and_their_meaning():
    same = build_vocabulary({"a": 9, "b": 1})
    other = build_vocabulary({"a": 1, "c": 1})

    assert vocabulary_hash(same) == vocabulary_hash(build_vocabulary({"b": 3, "a": 2}))
    assert vocabulary_hash(same) != vocabulary_hash(other)

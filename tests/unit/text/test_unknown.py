import pytest

from gaudi_asr_cli.core.text.unknown import fix_unknown
from gaudi_asr_cli.core.text.vocabulary import build_vocabulary, count_units

UPPER = build_vocabulary(count_units(["ABCDEFGHIJKLMNOPQRSTUVWXYZ'"]))


def test_where_only_the_case_differs_the_advice_is_folding_alone():
    remedy = fix_unknown(UPPER, ["hello world", "don't"])

    assert remedy.endswith("fold the text with --case upper.")


def test_letters_missing_in_either_case_are_named_after_folding_and_never_stripped():
    remedy = fix_unknown(UPPER, ["el niño", "año nuevo", "hello"])

    assert "--case upper, which leaves" in remedy
    assert "'Ñ' (2 times)" in remedy
    assert "'E'" not in remedy
    assert "--vocab data" in remedy
    assert "--strip-chars" not in remedy


def test_punctuation_may_be_stripped():
    remedy = fix_unknown(UPPER, ["hello, wörld!"])

    assert "'Ö' (1 times)" in remedy
    assert "--strip-chars ',!'" in remedy


@pytest.mark.parametrize("character", ["5", "\u0301", "漢", "\u094d"])
def test_digits_and_marks_are_spoken_too(character):
    remedy = fix_unknown(UPPER, [f"A Q{character} B"])

    assert "--strip-chars" not in remedy
    assert "--case" not in remedy


def test_punctuation_is_quoted_to_separate_it_from_the_end_of_the_sentence():
    assert fix_unknown(UPPER, ["HELLO, A"]).endswith("--strip-chars ','.")

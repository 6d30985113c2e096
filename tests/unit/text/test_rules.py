import string

from hypothesis import given
from hypothesis import strategies as st

from gaudi_asr_cli.core.text.rules import TextRules


def test_only_the_named_characters_are_stripped_not_the_range_between_them():
    cleaned = TextRules(strip_chars="!-;").clean("don't pay $5, it's 10-20% off; hurry!")

    assert cleaned == "don't pay $5, it's 1020% off hurry"


def test_characters_that_mean_something_in_a_pattern_are_plain_characters():
    cleaned = TextRules(strip_chars=r"[^a-z]\.*").clean(r"[a^z] b-c \d. e*")

    assert cleaned == "bc d e"


@given(st.text(string.printable + "\u00e9\u65e5\u2019"), st.text(string.printable, max_size=8))
def test_nothing_but_named_characters_and_white_space_is_lost(text, strip_chars):
    cleaned = TextRules(strip_chars=strip_chars).clean(text)

    expected = [c for c in text if c not in strip_chars and not c.isspace()]
    assert [c for c in cleaned if not c.isspace()] == expected


@given(st.text(), st.sampled_from(["keep", "lower"]), st.sampled_from(["nfc", "nfkc"]))
def test_cleaning_clean_text_changes_nothing(text, case, form):
    rules = TextRules(strip_chars=",.", case=case, unicode=form)

    once = rules.clean(text)

    assert rules.clean(once) == once


def test_an_accent_typed_apart_is_composed():
    assert TextRules().clean("cafe\u0301") == "caf\u00e9"


def test_a_named_letter_is_stripped_however_it_was_typed():
    assert TextRules(strip_chars="\u00e9").clean("cafe\u0301") == "caf"


def test_compatibility_forms_are_folded_only_with_nfkc():
    assert TextRules().clean("\ufb01ne \uff11") == "\ufb01ne \uff11"
    assert TextRules(unicode="nfkc").clean("\ufb01ne \uff11") == "fine 1"


def test_a_sign_that_nfkc_would_take_apart_can_be_named():
    assert TextRules(strip_chars="\u2026", unicode="nfkc").clean("wait\u2026 here") == "wait here"


def test_case_is_kept_unless_asked():
    assert TextRules().clean("Hello World") == "Hello World"
    assert TextRules(case="lower").clean("Hello World") == "hello world"
    assert TextRules(case="upper").clean("Hello World") == "HELLO WORLD"


def test_white_space_of_any_kind_becomes_single_spaces():
    assert TextRules().clean(" a\t\u00a0b\n\nc ") == "a b c"


def test_removed_characters_are_reported_with_repeats():
    assert TextRules(strip_chars=",.").removed("a, b, c.") == ",,."

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaudi_asr_cli.core.text.casing import casing_of, fold, holds_turkic_i, lower, upper
from gaudi_asr_cli.core.text.rules import TextRules

TURKISH = st.text(st.sampled_from("aAiIıİşŞğ "))


@pytest.mark.parametrize(
    "language", ["tr", "TR", "tur", "Turkish", "az", "aze", "azj-script_latin", "tr-TR", "<|tr|>"]
)
def test_turkic_languages_have_their_own_case_however_they_are_named(language):
    assert casing_of(language) == "tr"


@pytest.mark.parametrize("language", [None, "", "de", "english", "hindi", "trk", "deu"])
def test_other_languages_share_one_case(language):
    assert casing_of(language) is None


def test_turkish_pairs_dotted_with_dotted_and_dotless_with_dotless():
    assert lower("İSTANBUL IŞIK", "tr") == "istanbul ışık"
    assert upper("istanbul ışık", "tr") == "İSTANBUL IŞIK"
    assert fold("İIiı", "tr") == "iıiı"


@pytest.mark.parametrize("language", [None, "tr", "az"])
@pytest.mark.parametrize("text", ["İI", "I\u0307", "İstanbul"])
def test_lower_casing_makes_no_combining_dot(text, language):
    assert "\u0307" not in TextRules(case="lower", language=language).clean(text)


@given(TURKISH)
def test_in_turkish_lower_and_upper_case_are_inverse(text):
    rules = {case: TextRules(case=case, language="tr") for case in ("lower", "upper")}

    low = rules["lower"].clean(text)

    assert rules["lower"].clean(rules["upper"].clean(low)) == low


def test_letters_that_need_a_language_are_recognised():
    assert holds_turkic_i("kılıç")
    assert holds_turkic_i("I\u0307stanbul")
    assert not holds_turkic_i("I like it")

"""`basic/2` against an oracle that processes one character at a time."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gaudi_asr_cli.core.text.ignorable import count_ignorable, drop_ignorable
from gaudi_asr_cli.core.text.normalizers import (
    NORMALIZERS,
    label_normalizer,
    normalize_unicode,
    open_normalizer,
)

SCRIPTS = [
    (0x41, 0x24F), (0x300, 0x36F), (0x370, 0x3FF), (0x400, 0x52F), (0x590, 0x5FF), (0x600, 0x6FF),
    (0x900, 0x97F), (0x980, 0x9FF), (0xB80, 0xBFF), (0xE00, 0xE7F), (0xE80, 0xEFF), (0xF00, 0xFFF),
    (0x1000, 0x109F), (0x1780, 0x17FF), (0x1E00, 0x1EFF), (0x3040, 0x30FF), (0x4E00, 0x4FFF),
    (0xAC00, 0xAFFF), (0x1D160, 0x1D17F),
]  # fmt: skip
IGNORABLE = (
    "\u00ad\u200b\u200c\u200d\u200e\u202a\u2060\ufeff\ufe0f\u034f\u061c\u17b4\u17b5"
    "\U0001d173\U0001d174\U0001d175\U0001d176\U0001d177\U0001d178\U0001d179\U0001d17a"
)
"""Those of the scripts above, and some others."""
LETTERS = st.sampled_from(SCRIPTS).flatmap(
    lambda ends: st.integers(*ends).map(chr).filter(lambda c: unicodedata.category(c) != "Cn")
)
ANY = LETTERS | st.sampled_from(" \t\n.,;:!?-'\"()[]<>/।、。؟") | st.sampled_from(IGNORABLE)
TEXTS = st.lists(ANY, max_size=40).map("".join)


def count_words_by_hand(text):
    """Count words, which begin where a kept character follows none."""
    words, inside = 0, False
    for character in unicodedata.normalize("NFKC", text):
        if character in IGNORABLE:
            continue
        kept = unicodedata.category(character)[0] in ("L", "M", "N")
        words += kept and not inside
        inside = kept
    return words


@given(TEXTS)
def test_there_are_as_many_words_as_by_hand(text):
    assert len(normalize_unicode(text).split()) == count_words_by_hand(text)


@settings(deadline=None)
@given(st.text(max_size=30) | TEXTS, st.sampled_from([None, "tr"]))
def test_normalising_twice_changes_nothing(text, casing):
    once = normalize_unicode(text, casing)

    assert normalize_unicode(once, casing) == once


@settings(deadline=None)
@given(st.text(max_size=30) | TEXTS, st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]))
def test_a_text_gives_the_same_in_whichever_form_it_comes(text, form):
    assert normalize_unicode(unicodedata.normalize(form, text)) == normalize_unicode(text)


@given(TEXTS)
def test_default_ignorable_characters_change_nothing(text):
    strewn = "\u200b".join(text)

    assert normalize_unicode(strewn) == normalize_unicode(text)


@pytest.mark.parametrize("character", IGNORABLE)
def test_each_ignorable_character_is_dropped_and_counted(character):
    assert normalize_unicode(f"so{character}ft") == "soft"
    assert count_ignorable(f"{character}a{character}") == {character: 2}
    assert drop_ignorable(f"{character}a") == "a"


def test_a_lone_surrogate_is_a_space():
    assert normalize_unicode("a\ud800b") == "a b"


def test_an_acute_typed_as_an_apostrophe_leaves_no_mark_behind():
    assert normalize_unicode("don\u00b4t") == "don t"


def test_basic_is_its_newest_version_and_both_can_be_named():
    assert NORMALIZERS["basic"]("[x] नमस्ते") == "x नमस्ते"
    assert NORMALIZERS["basic/2"] is NORMALIZERS["basic"]
    assert NORMALIZERS["basic/1"]("[x] cafe\u0301").split() == ["caf\u00e9"]
    assert [label_normalizer(name) for name in ("none", "basic", "basic/1", "basic/2")] == [
        "none/1", "basic/2", "basic/1", "basic/2",
    ]  # fmt: skip


def test_turkic_case_is_a_part_of_the_rule_and_named():
    normalize = open_normalizer("basic", "turkish")

    assert normalize("İSTANBUL IŞIK") == "istanbul ışık"
    assert normalize("i\u0307stanbul") == "istanbul"
    assert label_normalizer("basic", "az") == "basic/2 language='tr'"


@pytest.mark.parametrize("name", ["none", "basic/1", "whisper-english"])
def test_published_rules_ignore_the_language(name):
    assert open_normalizer(name, "tr")("IŞIK") == open_normalizer(name)("IŞIK")
    assert "language" not in label_normalizer(name, "tr")

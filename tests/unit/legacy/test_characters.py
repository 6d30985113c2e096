# ruff: noqa: RUF001 - the quotation marks are those of the legacy commands
import re

import pytest

from gaudi_asr_cli.core.legacy.characters import (
    count_unnamed_removals,
    named_characters,
    script_pattern,
    unnamed_ascii_removals,
)
from gaudi_asr_cli.core.text.rules import TextRules

ITEMS = [",", "?", ".", "!", "-", ";", ":", '"', "“", "%", "‘", "”"]


def test_exactly_the_named_characters_are_removed():
    rules = TextRules(strip_chars=named_characters(ITEMS))

    assert rules.clean("“Don't” pay 25% more, 3-fold: it's #1 (or & so)!") == (
        "Don't pay 25 more 3fold it's #1 (or & so)"
    )


def test_the_script_also_removed_the_range_from_the_exclamation_mark_to_the_semicolon():
    unnamed = unnamed_ascii_removals(script_pattern(ITEMS), named_characters(ITEMS))

    assert unnamed == "#$&'()*+/0123456789"


def test_unnamed_removals_are_counted_in_the_data_most_frequent_first():
    texts = ["It's 10 o'clock, not 11!", "plain", "#1"]

    counts = count_unnamed_removals(script_pattern(ITEMS), named_characters(ITEMS), texts)

    assert counts == {"1": 4, "'": 2, "#": 1, "0": 1}


@pytest.mark.parametrize("items", [[","], [",", "?"], [',?.!"'], ["a-z"]])
def test_the_counts_are_those_of_the_regular_expression(items):
    text = "Anna: 12, 'b' - zebra?"
    pattern, named = script_pattern(items), named_characters(items)

    counts = count_unnamed_removals(pattern, named, [text])

    removed = len(text) - len(re.sub(pattern, "", text))
    assert sum(counts.values()) == removed - sum(
        character in named and bool(re.match(pattern, character)) for character in text
    )


def test_a_list_that_is_no_valid_regular_expression_counts_nothing():
    assert count_unnamed_removals(script_pattern(["z-a"]), "z-a", ["za"]) == {}


def test_spaces_were_never_removed():
    assert named_characters([", . ", "."]) == ",."

# ruff: noqa: RUF001 - the quotation marks are those of the old commands
import re

import pytest

from gaudi_asr_cli.core.legacy.ignored_chars import (
    count_formerly_removed,
    named_characters,
    removed_besides,
    script_pattern,
)
from gaudi_asr_cli.core.text.rules import TextRules

ITEMS = [",", "?", ".", "!", "-", ";", ":", '"', "“", "%", "‘", "”"]


def test_exactly_the_named_characters_are_removed():
    rules = TextRules(strip_chars=named_characters(ITEMS))

    assert rules.clean("“Don't” pay 25% more, 3-fold: it's #1 (or & so)!") == (
        "Don't pay 25 more 3fold it's #1 (or & so)"
    )


def test_the_script_removed_what_lies_between_the_exclamation_mark_and_the_semicolon():
    besides = removed_besides(script_pattern(ITEMS), named_characters(ITEMS))

    assert besides == "#$&'()*+/0123456789"


def test_it_is_counted_in_the_data_commonest_first():
    texts = ["It's 10 o'clock, not 11!", "plain", "#1"]

    counts = count_formerly_removed(script_pattern(ITEMS), named_characters(ITEMS), texts)

    assert counts == {"1": 4, "'": 2, "#": 1, "0": 1}


@pytest.mark.parametrize("items", [[","], [",", "?"], [',?.!"'], ["a-z"]])
def test_the_counts_are_what_the_expression_itself_takes(items):
    text = "Anna: 12, 'b' - zebra?"
    pattern, named = script_pattern(items), named_characters(items)

    counts = count_formerly_removed(pattern, named, [text])

    gone = len(text) - len(re.sub(pattern, "", text))
    assert sum(counts.values()) == gone - sum(
        one in named and bool(re.match(pattern, one)) for one in text
    )


def test_a_list_that_was_no_expression_stopped_the_script_and_counts_nothing():
    assert count_formerly_removed(script_pattern(["z-a"]), "z-a", ["za"]) == {}


def test_spaces_were_never_removed():
    assert named_characters([", . ", "."]) == ",."

# ruff: noqa: RUF001 - the quotation marks are those of the legacy commands
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaudi_asr_cli.core.errors import UsageError
from gaudi_asr_cli.core.legacy.arguments import parse_arguments
from gaudi_asr_cli.core.legacy.scripts import SCRIPTS

TABLE = SCRIPTS["ctc"].table


def parse(*words, current=(), **options):
    return parse_arguments(words, TABLE, lambda word: word.partition("=")[0] in current, **options)


@pytest.mark.parametrize(
    ("words", "value"),
    [
        (["--bf16"], "true"),
        (["--bf16", "True"], "true"),
        (["--bf16", "no"], "false"),
        (["--bf16", "0"], "false"),
        (["--bf16=False"], "false"),
        (["--no_bf16"], "false"),
        (["--no-bf16", "--do_train"], "false"),
        (["--bf16", "--do_train"], "true"),
        (["--bf16", "--bf16", "false"], "false"),
    ],
)
def test_a_switch_may_have_a_value(words, value):
    assert parse(*words).values["bf16"] == value


def test_a_switch_without_a_value_does_not_take_a_positional_argument():
    arguments = parse("--do_eval", "1", "--bf16", "true", has_arguments=True)

    assert arguments.values == {"do_eval": "true", "bf16": "true"}
    assert arguments.rest == ("1",)


def test_a_switch_takes_only_a_boolean():
    assert parse("--do_eval", "a.wav").rest == ("a.wav",)
    with pytest.raises(UsageError, match="true or false"):
        parse("--do_eval=a.wav")


@pytest.mark.parametrize(
    "words",
    [
        [",", "?", ".", "!", "-", ";", ":", '"', "“", "%", "‘", "”"],
        [',?.!-;:"“%‘”'],
    ],
)
def test_a_list_is_taken_without_quotes_or_as_one_string(words):
    arguments = parse("--chars_to_ignore", *words, "--do_train")

    assert "".join(arguments.lists["chars_to_ignore"]) == ',?.!-;:"“%‘”'
    assert arguments.values == {"do_train": "true"}


def test_a_misspelled_flag_is_rejected_before_it_takes_a_value():
    with pytest.raises(UsageError) as caught:
        parse("--do_train", "--evaluaton_strategy", "steps")

    assert "--evaluaton_strategy" in caught.value.message
    assert "--evaluation_strategy" in caught.value.remedy


def test_current_options_keep_their_order_and_values():
    arguments = parse(
        "--json", "--set", "a=b", "--do_train", "--", "--bf16", current=("--json", "--set")
    )

    assert arguments.rest == ("--json", "--set", "a=b", "--", "--bf16")


def test_values_may_be_negative_numbers_but_not_flags():
    assert parse("--max_steps", "-1").values == {"max_steps": "-1"}
    with pytest.raises(UsageError, match="no value"):
        parse("--max_steps", "--do_train")


def test_of_a_repeated_flag_the_last_value_counts_and_it_is_reported():
    arguments = parse("--sdp_on_bf16", "--seed", "1", "--sdp_on_bf16", "--seed=2")

    assert arguments.repeated == ("sdp_on_bf16", "seed")
    assert arguments.values["seed"] == "2"


@given(st.sampled_from(sorted(TABLE)), st.booleans())
def test_hyphens_and_underscores_are_equivalent(name, equals):
    flag = TABLE[name]
    option = f"--{name.replace('_', '-')}"
    word = "true" if flag.value_kind == "switch" else "7"

    arguments = parse(f"{option}={word}") if equals else parse(option, word)

    assert name in arguments

"""Shell text is split without a shell."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaudi_asr_cli.core.errors import UsageError
from gaudi_asr_cli.core.legacy.shell import read_commands
from gaudi_asr_cli.core.secret_values import hide_in_line


def read_command(text):
    (command,) = read_commands(text)
    return command


def word_texts(text):
    return [word.text for word in read_command(text).words]


@given(st.lists(st.text(alphabet=st.characters(exclude_characters="\0\r"), max_size=9), min_size=1))
def test_quoted_words_are_read_back_unchanged(words):
    assert word_texts(shlex.join(words)) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (r"a \; \: \" %", ["a", ";", ":", '"', "%"]),
        ("--x=\"it's\" 'a b'c", ["--x=it's", "a bc"]),
        (r'"a \" \$ \\ \n" b', ['a " $ \\ \\n', "b"]),
        ("a\\\nb   \\\n  c", ["ab", "c"]),
        ("a \\  \n  --c", ["a", "--c"]),
        ("a\\\n--c", ["a", "--c"]),
        ("a \\\r\n --c", ["a", "--c"]),
        ("a\tb '' \"\"", ["a", "b", "", ""]),
        ("$'a\\tb' $'it\\'s'", ["a\tb", "it's"]),
        ("a b\\", ["a", "b\\"]),
    ],
)
def test_words_are_split_as_a_shell_splits_them(text, words):
    assert word_texts(text) == words


@pytest.mark.parametrize(
    ("text", "redirections", "words"),
    [
        ("a > log.txt 2>&1", ("> log.txt", "2>&1"), ["a"]),
        ("a >log b 2>>err </dev/null", ("> log", "2>> err", "< /dev/null"), ["a", "b"]),
        ("a &> all", ("&> all",), ["a"]),
        ("a >| x", (">| x",), ["a"]),
        ("a 2 > x", ("> x",), ["a", "2"]),
        ("a '2'>x", ("> x",), ["a", "2"]),
        ("a '>' \\> \">\"", (), ["a", ">", ">", ">"]),
    ],
)
def test_redirections_are_not_words(text, redirections, words):
    command = read_command(text)

    assert command.redirections == redirections
    assert [word.text for word in command.words] == words


def test_commands_end_where_a_shell_ends_them():
    commands = read_commands("a b && c || d; e | f & g\nh # i\n#j\nk")

    assert [command.text for command in commands] == ["a b", "c", "d", "e", "f", "g", "h", "k"]
    assert [command.before for command in commands] == ["", "&&", "||", ";", "|", "&", "\n", "\n"]
    assert commands[4].after == "&"


def test_a_line_that_begins_with_an_option_continues_the_previous_line():
    command = read_command("a\n  --b 1\n  --c")

    assert command.text == "a --b 1 --c"
    assert command.joined_lines == (2, 3)


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("$A", ("$A",)),
        ('x/$A/${B:-it\'s "}"}', ("$A", '${B:-it\'s "}"}')),
        ('"$A $(b "c d" $(e)) `f`"', ("$A", '$(b "c d" $(e))', "`f`")),
        ("$((1 + 2))", ("$((1 + 2))",)),
        ("$1$@", ("$1", "$@")),
        (">(tee log)", (">(tee log)",)),
        ("'$A' \\$B \"\\$C\" $ $% 5$", ()),
        ("$'a\\tb'", ()),
    ],
)
def test_what_only_a_shell_can_expand_is_marked_and_kept_unchanged(text, unknown):
    words = read_command(text).words

    assert tuple(part for word in words for part in word.unknown) == unknown
    if unknown:
        assert "".join(word.text for word in words).replace('"', "") == text.strip('"').replace(
            '"', ""
        )


@pytest.mark.parametrize("text", ["a 'b", 'a "b', "a `b", "a $(b", "a ${b", "a $'b"])
def test_an_unclosed_mark_is_rejected_with_its_line(text):
    with pytest.raises(UsageError, match="line 2") as caught:
        read_commands(f"x\n{text}")

    assert "not closed" in caught.value.message


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("HF_TOKEN=hf_abcdefghij", "HF_TOKEN=***"),
        ("--hub_token abc --x", "--hub_token *** --x"),
        ("login hf_abcdefghij", "login ***"),
        ("AWS_SECRET_ACCESS_KEY=a WANDB_API_KEY=b", "AWS_SECRET_ACCESS_KEY=*** WANDB_API_KEY=***"),
        ("--pad_token [PAD] --tokenizer_name t", "--pad_token [PAD] --tokenizer_name t"),
    ],
)
def test_secrets_are_not_shown(text, shown):
    assert hide_in_line(text) == shown

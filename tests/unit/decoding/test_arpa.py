import gzip
import re

import pytest

from gaudi_asr_cli.core.decoding.lm.arpa import read_arpa, write_arpa
from gaudi_asr_cli.core.errors import DataError, MachineError

ARPA = """\
made by hand

\\data\\
ngram 1=5
ngram 2=4
ngram 3=1

\\1-grams:
-1.0\t<unk>
-99\t<s>\t-0.3
-0.8\t</s>
-0.5\ta\t-0.2
-0.7\tb\t-0.1

\\2-grams:
-0.2\t<s> a\t-0.05
-0.3\ta b\t-0.04
-0.6\tb </s>
-0.9\ta a

\\3-grams:
-0.1\t<s> a b

\\end\\
"""


def write(tmp_path, text=ARPA, name="lm.arpa"):
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


@pytest.mark.parametrize("name", ["lm.arpa", "lm.arpa.gz", "packed-without-suffix.gz"])
def test_a_sentence_scores_as_the_format_defines(tmp_path, name):
    model = read_arpa(write(tmp_path, name=name))

    # <s> a: -0.2; <s> a b: -0.1; b </s>: the weight of "a b", and "b </s>".
    assert model.score_sentence(["a", "b"]) == pytest.approx(-0.2 - 0.1 + (-0.04 - 0.6))
    # <s> b: weight of <s>, b; then b a: weight of b, a; a </s>: weight of a, </s>.
    assert model.score_sentence(["b", "a"]) == pytest.approx(-0.3 - 0.7 - 0.1 - 0.5 - 0.2 - 0.8)
    # An unknown word: weight of <s>, <unk>; nothing follows <unk>.
    assert model.score_sentence(["x"]) == pytest.approx(-0.3 - 1.0 - 0.8)
    assert model.count_ngrams() == (5, 4, 1)
    assert model.order == 3


def test_what_is_written_reads_the_same(tmp_path):
    model = read_arpa(write(tmp_path))
    for name in ("again.arpa", "again.arpa.gz"):
        write_arpa(model, tmp_path / name)

        again = read_arpa(tmp_path / name)

        assert again.count_ngrams() == model.count_ngrams()
        for words in (["a", "b"], ["b", "a"], ["a", "a", "x"]):
            assert again.score_sentence(words) == pytest.approx(model.score_sentence(words))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("-0.5\ta\t-0.2", "none\ta\t-0.2", "line 12: 'none' is not a log10 probability"),
        ("-0.5\ta\t-0.2", "a", "line 12: no 1-gram with a probability: 'a'"),
        ("-0.3\ta b\t-0.04", "-0.3\ta c\t-0.04", "line 17: 'c' is not among the 1-grams"),
        ("-0.9\ta a", "-0.9\ta b", "line 19: 2-gram that cannot be used: it occurs twice"),
        ("-0.9\ta a\n", "", "after 3 of 4 2-grams"),
        ("\\end\\\n", "", "the file ends before .end"),
        ("ngram 2=4", "ngram 2=four", "line 5: no count of n-grams: 'ngram 2=four'"),
        ("<s> a b", "b a b", "line 22: 3-gram that cannot be used: its context"),
        ("\\data\\", "data", "this is no ARPA file"),
        ("-0.1\t<s> a b", "-0.1\t<s> a b c d", "line 22: no 3-gram with a probability"),
        ("ngram 2=4\n", "", "orders must rise from 1"),
    ],
)
def test_a_broken_line_is_named(tmp_path, old, new, message):
    assert old in ARPA

    with pytest.raises(DataError, match=message.replace("(", r"\(")):
        read_arpa(write(tmp_path, ARPA.replace(old, new)))


def test_a_truncated_gzip_file_is_named(tmp_path):
    path = write(tmp_path, name="lm.arpa.gz")
    path.write_bytes(path.read_bytes()[:-20])

    with pytest.raises(DataError, match=r"lm\.arpa\.gz: its compressed data is broken"):
        read_arpa(path)


def test_a_binary_file_of_kenlm_needs_the_text_it_was_made_from(tmp_path):
    path = tmp_path / "lm.bin"
    path.write_bytes(b"mmap lm http://kheafield.com/code format version 5\n\0" + b"\0" * 99)

    with pytest.raises(MachineError, match="binary file of KenLM"):
        read_arpa(path)


def test_words_are_parted_by_spaces_and_tabs_alone(tmp_path):
    text = re.sub(r"\ba\b", "k\u00a0a", ARPA.replace("made", "by"))

    model = read_arpa(write(tmp_path, text))

    assert "k\u00a0a" in model.ids

"""Vocabularies of subwords, read from a tokenizer.json."""

import json
import subprocess
import sys

import pytest
from helpers.subword_models import SENTENCES, train_tokenizer, write_subwords

from gaudi_asr_cli.core.decoding import make_decoder
from gaudi_asr_cli.core.errors import DataError, UsageError
from gaudi_asr_cli.core.text.vocabulary import (
    count_unknown,
    encode,
    read_vocabulary,
    suggest_case,
    unknown_characters,
    vocabulary_hash,
    write_tokenizer_files,
)

TOKENIZER = train_tokenizer()


@pytest.fixture
def folder(tmp_path):
    return write_subwords(tmp_path / "model", TOKENIZER)


def change(folder, **fields):
    path = folder / "tokenizer.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_columns_are_those_of_the_tokenizer_and_the_blank_is_its_padding(folder):
    vocabulary = read_vocabulary(folder)

    columns = TOKENIZER.get_vocab()
    assert {token: i for i, token in enumerate(vocabulary.tokens)} == columns
    assert vocabulary.blank == columns["<pad>"] == len(columns) - 1
    assert vocabulary.special == {columns["<pad>"], columns["<unk>"]}
    assert vocabulary.delimiter is None


@pytest.mark.parametrize("text", [*SENTENCES, "  two   three ", "off", ""])
def test_a_text_is_encoded_as_by_the_tokenizer(folder, text):
    expected = TOKENIZER.encode(" ".join(text.split()), add_special_tokens=False).ids

    assert encode(read_vocabulary(folder), text) == tuple(expected)


def test_the_name_of_the_blank_in_a_text_is_no_label(folder):
    vocabulary = read_vocabulary(folder)

    assert vocabulary.blank not in encode(vocabulary, "one <pad> two")


def test_characters_that_no_subword_has_are_unknown_and_the_case_is_that_of_the_subwords(folder):
    vocabulary = read_vocabulary(folder)

    assert unknown_characters(vocabulary, "two, zwölf") == {"z", "ö", "l"}
    assert count_unknown(vocabulary, ["two zz"])[0] == {"z": 2}
    assert suggest_case(vocabulary, "ONE TWO") == "lower"


def test_bytes_can_write_every_character(folder):
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    change(folder, model={**model, "byte_fallback": True})

    assert unknown_characters(read_vocabulary(folder), "zwölf") == frozenset()


def test_a_vocabulary_is_written_and_read_again(folder, tmp_path):
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "auto_map": {"x": "y"}}))
    vocabulary = read_vocabulary(folder)

    write_tokenizer_files(vocabulary, tmp_path / "copy")

    again = read_vocabulary(tmp_path / "copy")
    assert again == vocabulary
    assert vocabulary_hash(again) == vocabulary_hash(vocabulary)
    assert "auto_map" not in (tmp_path / "copy" / "tokenizer_config.json").read_text()


def test_a_vocab_json_comes_before_a_tokenizer_json(folder):
    (folder / "vocab.json").write_text(json.dumps({"|": 0, "a": 1, "<pad>": 2}))

    assert read_vocabulary(folder).tokens == ("|", "a", "<pad>")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"decoder": None}, "no mark for the start of a word"),
        ({"decoder": {"type": "Sequence", "decoders": "x"}}, "no mark for the start of a word"),
        ({"model": {"type": "BPE"}}, "is no tokenizer"),
        ({"added_tokens": []}, "the CTC blank, is not in the vocabulary"),
    ],
)
def test_a_tokenizer_that_gives_no_vocabulary_is_named(folder, fields, said):
    change(folder, **fields)

    with pytest.raises(DataError, match=said):
        read_vocabulary(folder)


@pytest.mark.parametrize("options", [{"lm": "words.arpa"}, {"hotwords": ("one",)}])
def test_subwords_have_no_language_model_of_words(folder, options):
    with pytest.raises(UsageError, match="subwords"):
        make_decoder("beam", read_vocabulary(folder), **options)


def test_a_vocabulary_is_read_without_transformers(folder):
    code = (
        "import sys; from pathlib import Path;"
        "from gaudi_asr_cli.core.text.vocabulary import encode, read_vocabulary;"
        f"encode(read_vocabulary(Path({str(folder)!r})), 'one');"
        "assert not {'transformers', 'torch'} & set(sys.modules)"
    )

    subprocess.run([sys.executable, "-c", code], check=True)

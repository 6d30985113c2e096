import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gaudi_asr_cli.core.decoding.greedy import GreedyDecoder
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.models.ctc.model import fit_to_head
from gaudi_asr_cli.core.records import AudioSpan, Emissions, Utterance
from gaudi_asr_cli.core.text.vocabulary import (
    build_vocabulary,
    encode,
    read_vocabulary,
    write_processor_files,
    write_tokenizer_files,
)

VOCABULARY = build_vocabulary(dict.fromkeys("abcdehlotw'.,? \u00e9\u0430\u65e5", 1))
FRAMES = st.lists(st.sampled_from(range(len(VOCABULARY.tokens))), max_size=40)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    directory = tmp_path_factory.mktemp("vocabulary")
    write_tokenizer_files(VOCABULARY, directory)
    write_processor_files(directory)
    return directory


@pytest.fixture(scope="module")
def processor(folder):
    from transformers import AutoProcessor

    return AutoProcessor.from_pretrained(folder)


def write_files(directory, **files):
    for name, value in files.items():
        (directory / f"{name}.json").write_text(json.dumps(value), encoding="utf-8")
    return directory


def decode_ids(vocabulary, columns):
    log_probs = np.full((1, len(columns), len(vocabulary.tokens)), -9, dtype=np.float32)
    log_probs[0, np.arange(len(columns)), columns] = -0.1
    emissions = Emissions(log_probs, np.array([len(columns)]), frame_s=0.02)
    utterance = Utterance("x", AudioSpan(Path("x.wav")))
    return GreedyDecoder(vocabulary).decode(emissions, 0, utterance).text


def test_what_is_written_is_read(folder):
    assert read_vocabulary(folder) == VOCABULARY


def test_transformers_has_our_columns_and_no_more(processor):
    tokens = processor.tokenizer.get_vocab()

    assert tokens == {token: column for column, token in enumerate(VOCABULARY.tokens)}
    assert len(processor.tokenizer) == len(VOCABULARY.tokens)


def test_transformers_opens_it_as_the_right_class(processor):
    assert type(processor.tokenizer).__name__ == "Wav2Vec2CTCTokenizer"
    assert processor.tokenizer.pad_token_id == VOCABULARY.blank
    assert not processor.tokenizer.clean_up_tokenization_spaces
    assert processor.feature_extractor.sampling_rate == 16_000
    assert processor.feature_extractor.do_normalize


def test_no_processor_config_is_written(folder):
    written = {path.name for path in folder.iterdir()}

    assert written == {
        "vocab.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "preprocessor_config.json",
    }


@settings(deadline=None)
@given(FRAMES)
def test_transformers_decodes_frames_to_our_text(processor, frames):
    frames = [column for column in frames if column != VOCABULARY.unknown]

    assert decode_ids(VOCABULARY, frames) == processor.batch_decode([frames])[0]


@settings(deadline=None)
@given(st.text("abcdehlotw'.,?\u00e9\u0430\u65e5zZ "))
def test_transformers_encodes_as_we_do(processor, text):
    text = " ".join(text.split())

    assert encode(VOCABULARY, text) == tuple(processor.tokenizer(text).input_ids)


def test_special_tokens_are_taken_from_the_old_map(tmp_path):
    write_files(
        tmp_path,
        vocab={"_": 0, "<unk>": 1, "#": 2, "A": 3},
        special_tokens_map={"pad_token": {"content": "_"}, "unk_token": "<unk>"},
        tokenizer_config={"word_delimiter_token": "#"},
    )

    vocabulary = read_vocabulary(tmp_path)

    assert (vocabulary.blank, vocabulary.unknown, vocabulary.delimiter) == (0, 1, 2)
    assert vocabulary.special == {0, 1}


def test_sentence_marks_are_special(tmp_path):
    tokens = ["<pad>", "<s>", "</s>", "<unk>", "|", "E"]
    write_files(tmp_path, vocab={token: column for column, token in enumerate(tokens)})

    assert read_vocabulary(tmp_path).special == {0, 1, 2, 3}


def test_added_tokens_fill_columns_after_the_vocabulary(tmp_path):
    write_files(
        tmp_path, vocab={"<pad>": 0, "|": 1, "a": 2}, added_tokens={"<s>": 3, "</s>": 4, "a": 9}
    )

    vocabulary = read_vocabulary(tmp_path)

    assert vocabulary.tokens == ("<pad>", "|", "a", "<s>", "</s>")
    assert vocabulary.special == {0, 3, 4}


def test_a_column_without_a_token_never_becomes_text(tmp_path):
    write_files(tmp_path, vocab={"<pad>": 0, "a": 2})

    assert read_vocabulary(tmp_path).special == {0, 1}


def test_a_nested_vocabulary_is_read_by_language(tmp_path):
    nested = {"deu": {"<pad>": 0, "\u00e4": 1}, "eng": {"<pad>": 0, "a": 1, "b": 2}}
    write_files(tmp_path, vocab=nested, tokenizer_config={"target_lang": "deu"})

    assert read_vocabulary(tmp_path).tokens == ("<pad>", "\u00e4")
    assert read_vocabulary(tmp_path, language="eng").tokens == ("<pad>", "a", "b")
    with pytest.raises(DataError, match="no language 'xxx'"):
        read_vocabulary(tmp_path, language="xxx")


def test_letters_that_the_tokenizer_lower_cases_are_lower_case(tmp_path):
    write_files(
        tmp_path, vocab={"<pad>": 0, "|": 1, "A": 2}, tokenizer_config={"do_lower_case": True}
    )

    assert read_vocabulary(tmp_path).tokens == ("<pad>", "|", "a")


def test_a_missing_vocabulary_is_rejected(tmp_path):
    with pytest.raises(DataError, match="no CTC vocabulary"):
        read_vocabulary(tmp_path)


@pytest.mark.parametrize(
    "vocab", ["{", '["a"]', '{"<pad>": "0"}', '{"<pad>": -1}', '{"<pad>": 123456789}', "{}"]
)
def test_a_broken_vocabulary_is_rejected_by_name(tmp_path, vocab):
    (tmp_path / "vocab.json").write_text(vocab)

    with pytest.raises(DataError, match=r"vocab\.json"):
        read_vocabulary(tmp_path)


def test_a_vocabulary_without_a_blank_is_rejected(tmp_path):
    write_files(tmp_path, vocab={"a": 0}, tokenizer_config={"pad_token": None})

    with pytest.raises(DataError, match="blank"):
        read_vocabulary(tmp_path)


def test_doubled_letters_survive_in_transformers(processor):
    columns = [VOCABULARY.tokens.index(letter) for letter in "hello"]
    columns.insert(3, VOCABULARY.blank)

    assert processor.batch_decode(np.array([columns])) == ["hello"]


def write_vocabulary(directory, tokens=("<pad>", "<unk>", "|", "A", "B", "NG"), **settings):
    vocab = {token: column for column, token in enumerate(tokens)}
    (directory / "vocab.json").write_text(json.dumps(vocab))
    (directory / "tokenizer_config.json").write_text(json.dumps(settings))
    return read_vocabulary(directory)


def decode_columns(vocabulary, columns):
    log_probs = np.full((1, len(columns), len(vocabulary.tokens)), -9.0, np.float32)
    log_probs[0, np.arange(len(columns)), columns] = -0.1
    emissions = Emissions(log_probs, np.array([len(columns)]), 0.02)
    return GreedyDecoder(vocabulary).decode(emissions, 0, Utterance("u", AudioSpan(Path("u.wav"))))


@pytest.mark.parametrize(
    "settings",
    [
        {"do_lower_case": True},
        {"do_lower_case": False},
        {"replace_word_delimiter_char": "_"},
        {"replace_word_delimiter_char": ""},
        {"do_lower_case": True, "replace_word_delimiter_char": "-"},
        {"word_delimiter_token": None},
    ],
)
def test_text_follows_the_settings_of_the_tokenizer_as_in_transformers(tmp_path, settings):
    vocabulary = write_vocabulary(tmp_path, **settings)
    columns = [3, 0, 3, 2, 4, 5, 2]

    text = decode_columns(vocabulary, columns).text

    from transformers import Wav2Vec2CTCTokenizer

    tokenizer = Wav2Vec2CTCTokenizer.from_pretrained(tmp_path)
    assert text == tokenizer.decode(columns)


@pytest.mark.parametrize(("separator", "text"), [("", "AABA"), ("_", "AA_BA")])
def test_a_separator_is_kept_when_the_vocabulary_is_saved(tmp_path, separator, text):
    vocabulary = write_vocabulary(tmp_path, replace_word_delimiter_char=separator)

    write_tokenizer_files(vocabulary, tmp_path / "saved")

    again = read_vocabulary(tmp_path / "saved")
    assert again == vocabulary
    assert decode_columns(again, [3, 0, 3, 2, 4, 3]).text == text


def test_another_delimiter_separates_words(tmp_path):
    tokens = ("<pad>", "<unk>", "<space>", "A", "B", "|")
    vocabulary = write_vocabulary(tmp_path, tokens, word_delimiter_token="<space>")

    transcript = decode_columns(vocabulary, [3, 2, 4, 5])

    assert transcript.text == "A B|"
    assert [word.word for word in transcript.words] == ["A", "B|"]


def test_a_space_in_the_vocabulary_is_the_delimiter(tmp_path):
    vocabulary = write_vocabulary(tmp_path, ("<pad>", "<unk>", " ", "A", "B"))

    transcript = decode_columns(vocabulary, [3, 2, 4])

    assert [word.word for word in transcript.words] == ["A", "B"]
    assert encode(vocabulary, "A B") == (3, 2, 4)


@pytest.mark.parametrize("value", [1, ["_"], {"content": "_"}])
def test_a_separator_that_is_no_text_is_named(tmp_path, value):
    with pytest.raises(DataError, match="replace_word_delimiter_char"):
        write_vocabulary(tmp_path, replace_word_delimiter_char=value)


@pytest.mark.parametrize("missing", ["gap", "end"])
def test_a_column_without_a_token_never_wins_against_a_letter(tmp_path, missing):
    (tmp_path / "vocab.json").write_text('{"<pad>": 0, "A": 1, "B": 3}')
    vocabulary = read_vocabulary(tmp_path)
    unnamed = 2
    if missing == "end":
        vocabulary, unnamed = fit_to_head(vocabulary, 5), 4
    log_probs = np.log(np.full((1, 2, len(vocabulary.tokens)), 0.01, np.float32))
    log_probs[0, :, unnamed] = np.log(0.6)
    log_probs[0, [0, 1], [1, 3]] = np.log(0.3)

    emissions = Emissions(log_probs, np.array([2]), 0.02)
    decoded = GreedyDecoder(vocabulary).decode(
        emissions, 0, Utterance("u", AudioSpan(Path("u.wav")))
    )

    assert decoded.text == "AB"


def test_columns_without_a_token_stay_without_one_when_saved(tmp_path):
    (tmp_path / "vocab.json").write_text('{"<pad>": 0, "A": 1, "B": 3}')
    vocabulary = fit_to_head(read_vocabulary(tmp_path), 6)

    write_tokenizer_files(vocabulary, tmp_path / "saved")

    assert read_vocabulary(tmp_path / "saved").unnamed == {2, 4, 5}


def test_a_vocabulary_one_folder_up_is_named(tmp_path):
    write_vocabulary(tmp_path)
    checkpoint = tmp_path / "checkpoint-500"
    checkpoint.mkdir()

    with pytest.raises(DataError, match="one folder up") as error:
        read_vocabulary(checkpoint)

    assert f"cp -n {tmp_path}/" in error.value.remedy

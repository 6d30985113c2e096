"""Read and write the files of a CTC model's tokenizer, without transformers.

They are those of transformers' `Wav2Vec2CTCTokenizer`, or of a tokenizer of subwords.

A model saved with them opens with `AutoProcessor.from_pretrained` in transformers 4.55 and 5 and
`batch_decode` of its argmax gives the same text as our greedy decoder.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.json_files import read_json_object
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ, Vocabulary
from gaudi_asr_cli.core.text.subwords import (
    TOKENIZER_FILE,
    list_columns,
    list_special,
    read_subwords,
)
from gaudi_asr_cli.core.whole_files import write_whole

UNUSED = re.compile(r"<unused \d+>")
"""Placeholders for columns without a token: see `unused_token`."""
_MAX_GAPS = 1000  # columns without a token; with more of them the file is broken


def write_tokenizer_files(vocabulary: Vocabulary, directory: Path) -> None:
    """Write vocab.json, tokenizer_config.json and special_tokens_map.json.

    Subwords have their tokenizer.json in place of vocab.json.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if vocabulary.subwords is not None:
        for name, content in vocabulary.subwords.files:
            write_whole(directory / name, content)
        return
    names = _special_names(vocabulary)
    _write_json(
        directory / "vocab.json",
        {token: column for column, token in enumerate(vocabulary.tokens)},
    )
    _write_json(directory / "tokenizer_config.json", {**_tokenizer_settings(vocabulary), **names})
    special = {key: token for key, token in names.items() if key != "word_delimiter_token"}
    _write_json(directory / "special_tokens_map.json", special)


PHONEME_TOKENIZER = "Wav2Vec2PhonemeCTCTokenizer"


def _tokenizer_settings(vocabulary: Vocabulary) -> dict[str, Any]:
    """Return the class of transformers' tokenizer, and its settings."""
    if vocabulary.phonemes_of is None:
        return {
            "tokenizer_class": "Wav2Vec2CTCTokenizer",
            "clean_up_tokenization_spaces": False,
            "do_lower_case": False,
            "replace_word_delimiter_char": vocabulary.separator,
            "target_lang": None,
        }
    return {
        "tokenizer_class": PHONEME_TOKENIZER,
        "clean_up_tokenization_spaces": False,
        # Otherwise transformers requires the package phonemizer just to open the tokenizer.
        "do_phonemize": False,
        "phonemizer_backend": "espeak",
        "phonemizer_lang": vocabulary.phonemes_of,
        "phone_delimiter_token": " ",
    }


def _special_names(vocabulary: Vocabulary) -> dict[str, str | None]:
    """Return special tokens by transformers' names; None where there is none.

    If left out, `<s>` and `</s>` would be added as columns that the model does not have.
    """

    def name(column: int | None) -> str | None:
        return None if column is None else vocabulary.tokens[column]

    def present(token: str) -> str | None:
        return token if token in vocabulary.tokens else None

    return {
        "bos_token": present("<s>"),
        "eos_token": present("</s>"),
        "pad_token": name(vocabulary.blank),
        "unk_token": name(vocabulary.unknown),
        "word_delimiter_token": name(vocabulary.delimiter),
    }


def write_processor_files(
    directory: Path, *, do_normalize: bool = True, return_attention_mask: bool = True
) -> None:
    """Write preprocessor_config.json for `Wav2Vec2FeatureExtractor` at 16 kHz.

    Never processor_config.json: transformers 5 writes it, 4.55 cannot read it, and both read
    this file without it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    _write_json(
        directory / "preprocessor_config.json",
        {
            "do_normalize": do_normalize,
            "feature_extractor_type": "Wav2Vec2FeatureExtractor",
            "feature_size": 1,
            "padding_side": "right",
            "padding_value": 0.0,
            "processor_class": "Wav2Vec2Processor",
            "return_attention_mask": return_attention_mask,
            "sampling_rate": SAMPLE_RATE_HZ,
        },
    )


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    write_whole(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def read_vocabulary(directory: Path, *, language: str | None = None) -> Vocabulary:
    """Read the vocabulary of a model's folder, as transformers would use it.

    Args:
        directory: Folder with vocab.json (or tokenizer.json, for subwords) and, usually,
            tokenizer_config.json.
        language: Language in a nested vocab.json (MMS); the configured one by default.

    Raises:
        DataError: The file is missing or broken, or lacks the language or the blank.
    """
    config = _read_tokenizer_config(directory)
    if not has_characters(directory) and has_vocabulary(directory):
        return _read_subword_vocabulary(directory, config)
    columns = _read_columns(directory, config, language)
    return _assemble(_order_tokens(columns, directory), columns, config, directory)


def has_vocabulary(directory: Path) -> bool:
    """Return whether a folder holds a vocabulary, of characters or of subwords."""
    return has_characters(directory) or (directory / TOKENIZER_FILE).exists()


def has_characters(directory: Path) -> bool:
    """Return whether a folder holds a vocab.json."""
    return (directory / "vocab.json").exists()


def _read_subword_vocabulary(directory: Path, config: dict[str, Any]) -> Vocabulary:
    subwords = read_subwords(directory)
    columns = list_columns(subwords)
    plain = _assemble(_order_tokens(columns, directory), columns, config, directory)
    special = plain.special | list_special(subwords)
    return replace(plain, delimiter=None, special=special, separator=" ", subwords=subwords)


def _assemble(
    tokens: tuple[str, ...], columns: dict[str, int], config: dict[str, Any], directory: Path
) -> Vocabulary:
    def column(key: str, default: str) -> int | None:
        return columns.get(_token_name(config, key, default))

    blank, unknown = column("pad_token", "<pad>"), column("unk_token", "<unk>")
    if blank is None:
        raise DataError(
            f"{directory}: the padding token, which is the CTC blank, is not in the vocabulary.",
            remedy="Set pad_token in tokenizer_config.json to the model's blank token.",
        )
    marks = {blank, unknown, column("bos_token", "<s>"), column("eos_token", "</s>")}
    gaps = {index for index, token in enumerate(tokens) if not token or UNUSED.fullmatch(token)}
    is_phonemes = config.get("tokenizer_class") == PHONEME_TOKENIZER
    delimiter = column("word_delimiter_token", "" if is_phonemes else "|")
    if delimiter is None and not is_phonemes:
        # A space is the delimiter itself in vocabularies that have one.
        delimiter = columns.get(" ")
    special = {index for index in marks | gaps if index not in (None, delimiter)}
    return Vocabulary(
        tokens=_lower_tokens(tokens, special) if config.get("do_lower_case") else tokens,
        blank=blank,
        delimiter=delimiter,
        unknown=unknown,
        special=frozenset(special),
        phonemes_of=config.get("phonemizer_lang", "en-us") if is_phonemes else None,
        separator=" " if is_phonemes else _read_separator(config),
        unnamed=frozenset(gaps - {blank, delimiter}),
    )


def _read_separator(config: dict[str, Any]) -> str:
    """Return what the tokenizer writes for the word delimiter."""
    separator = config.get("replace_word_delimiter_char", " ")
    if separator is not None and not isinstance(separator, str):
        raise DataError(
            f"tokenizer_config.json: replace_word_delimiter_char is {str(separator)[:60]}, not a "
            "character.",
            remedy="Download or write the file again.",
        )
    return " " if separator is None else separator


def _read_columns(directory: Path, config: dict[str, Any], language: str | None) -> dict[str, int]:
    columns = _read_json(directory / "vocab.json")
    if any(isinstance(value, dict) for value in columns.values()):
        columns = _pick_language(columns, language or config.get("target_lang"), directory)
    added = _read_added(config, directory)
    if (directory / "added_tokens.json").exists():
        added |= _read_json(directory / "added_tokens.json")
    if not all(isinstance(column, int) for column in (*columns.values(), *added.values())):
        raise _broken_columns(directory)
    taken = set(columns.values())
    extra = {token: column for token, column in added.items() if column not in taken}
    return {**columns, **{t: c for t, c in extra.items() if t not in columns}}


def _read_added(config: dict[str, Any], directory: Path) -> dict[str, int]:
    entries = config.get("added_tokens_decoder") or {}
    try:
        return {str(entry["content"]): int(column) for column, entry in entries.items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{directory / 'tokenizer_config.json'}: added_tokens_decoder does not give each "
            f"token a column and its content ({error!r}).",
            remedy="Download or write the file again.",
        ) from error


def _pick_language(nested: dict[str, Any], language: str | None, directory: Path) -> dict[str, int]:
    if isinstance(language, str) and isinstance(nested.get(language), dict):
        chosen: dict[str, int] = nested[language]
        return chosen
    known = ", ".join(sorted(nested)[:12])
    problem = f"has no language {language!r}" if language else "has a vocabulary per language"
    raise DataError(
        f"{directory} {problem}.",
        remedy=f"Choose one of its {len(nested)} with --language, for example {known}.",
    )


def _order_tokens(columns: dict[str, int], directory: Path) -> tuple[str, ...]:
    """Return tokens by column; a column without a token gets a placeholder `<unused N>`."""
    if not all(isinstance(column, int) and column >= 0 for column in columns.values()):
        raise _broken_columns(directory)
    by_column = {column: token for token, column in columns.items()}
    width = max(by_column, default=-1) + 1
    if not 0 < width <= len(columns) + _MAX_GAPS:
        raise _broken_columns(directory)
    return tuple(by_column.get(column, unused_token(column)) for column in range(width))


def unused_token(column: int) -> str:
    """Return the placeholder for a column without a token."""
    return f"<unused {column}>"


def _broken_columns(directory: Path) -> DataError:
    path = directory / ("vocab.json" if has_characters(directory) else TOKENIZER_FILE)
    return DataError(
        f"{path} does not give every token a column number from 0 upwards.",
        remedy="Correct the file, or use the one that came with the model.",
    )


def _lower_tokens(tokens: tuple[str, ...], special: Container[int | None]) -> tuple[str, ...]:
    """Return tokens of text in lower case, for models whose tokenizer lower-cases its output."""
    return tuple(
        token if column in special else token.lower() for column, token in enumerate(tokens)
    )


def _read_tokenizer_config(directory: Path) -> dict[str, Any]:
    config_path = directory / "tokenizer_config.json"
    config = _read_json(config_path) if config_path.exists() else {}
    map_path = directory / "special_tokens_map.json"
    # Old folders list their special tokens only there; transformers reads it only in that case.
    if "added_tokens_decoder" not in config and map_path.exists():
        return {**config, **_read_json(map_path)}
    return config


def _token_name(config: dict[str, Any], key: str, default: str) -> str:
    """Return a special token, which is stored as text, an object with `content`, or null."""
    name = config.get(key, default)
    if isinstance(name, dict):
        name = name.get("content")
    if name is not None and not isinstance(name, str):
        raise DataError(
            f"tokenizer_config.json: {key} is {str(name)[:60]}, not a token.",
            remedy="Download or write the file again.",
        )
    return name or ""


def _read_json(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise _no_vocabulary_error(path)
    return read_json_object(path, remedy="Download or write the file again.")


def _no_vocabulary_error(path: Path) -> DataError:
    """Return the error about a folder without vocab.json; a checkpoint's lies one folder up."""
    said = f"There is no {path}: this folder has no CTC vocabulary"
    # Not resolved: the path may be a loop of links.
    above = path.absolute().parents[1]
    if (above / path.name).is_file():
        return DataError(
            f"{said}; there is one in {above}, one folder up.",
            remedy=f"Copy the tokenizer's files into it: cp -n {above}/*.json {path.parent}/",
        )
    return DataError(
        f"{said}.",
        remedy="Give a folder written by finetune-ctc or vocab, or a model with a CTC head.",
    )

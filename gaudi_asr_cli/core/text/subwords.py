"""Vocabularies of subwords: a `tokenizer.json` of the library tokenizers, and no vocab.json."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.json_files import read_json_object
from gaudi_asr_cli.core.records import Subwords

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TOKENIZER_FILE = "tokenizer.json"
_SETTINGS_FILES = ("tokenizer_config.json", "special_tokens_map.json")
_CODE = "auto_map"
"""A field that asks for code of the folder's own, which is never run."""
_REMEDY = "Download or copy the file again."
_BYTE_MARK = "Ġ"
"""A space, as byte-level tokenizers write it."""


def read_subwords(directory: Path) -> Subwords:
    """Read the tokenizer of a folder, and the files that belong to it.

    Raises:
        DataError: tokenizer.json is broken, or its tokens do not mark where a word begins.
    """
    path = directory / TOKENIZER_FILE
    content = read_json_object(path, remedy=_REMEDY)
    last_step = content.get("decoder")
    mark = _find_mark(last_step) if isinstance(last_step, Mapping) else None
    if mark is None:
        raise DataError(
            f"{path} is no tokenizer of subwords: its decoder has no mark for the start of a word.",
            remedy="Use the tokenizer that this model was trained with, or one with a vocab.json.",
        )
    names = [name for name in _SETTINGS_FILES if (directory / name).exists()]
    others = {name: read_json_object(directory / name, remedy=_REMEDY) for name in names}
    files = {TOKENIZER_FILE: content, **others}
    subwords = Subwords(tuple((name, _to_text(one)) for name, one in files.items()), mark)
    try:
        build_subword_tokenizer(subwords.definition)
    except Exception as error:  # the library raises nothing more precise
        reason = str(error).partition("\n")[0][:120]
        raise DataError(f"{path} is no tokenizer: {reason}.", remedy=_REMEDY) from error
    return subwords


def _to_text(content: Mapping[str, Any]) -> str:
    kept = {key: one for key, one in content.items() if key != _CODE}
    return json.dumps(kept, ensure_ascii=False, indent=2) + "\n"


def _find_mark(decoder: Mapping[str, Any]) -> str | None:
    """Return what a token that begins a word starts with; None if nothing marks it."""
    steps = decoder.get("decoders") if decoder.get("type") == "Sequence" else [decoder]
    for step in steps if isinstance(steps, list) else []:
        kind = step.get("type") if isinstance(step, Mapping) else None
        if kind == "Metaspace":
            return str(step.get("replacement") or "▁")
        if kind == "ByteLevel":
            return _BYTE_MARK
        pattern = step.get("pattern") if kind == "Replace" else None
        if isinstance(pattern, Mapping) and step.get("content") == " " and pattern.get("String"):
            return str(pattern["String"])
    return None


@lru_cache(maxsize=4)
def build_subword_tokenizer(definition: str) -> Tokenizer:
    """Build the tokenizer of a tokenizer.json, given its content."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(definition)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def list_columns(subwords: Subwords) -> dict[str, int]:
    """Return the column of each token, those included that were added."""
    columns: dict[str, int] = build_subword_tokenizer(subwords.definition).get_vocab(
        with_added_tokens=True
    )
    return columns


def list_special(subwords: Subwords) -> frozenset[int]:
    """Return the columns of tokens that never become text."""
    added = build_subword_tokenizer(subwords.definition).get_added_tokens_decoder()
    return frozenset(column for column, token in added.items() if token.special)


def decode_subwords(subwords: Subwords, columns: Sequence[int]) -> str:
    """Return the text of tokens, as transformers' `decode` writes it."""
    text: str = build_subword_tokenizer(subwords.definition).decode(
        list(columns), skip_special_tokens=False
    )
    return text


def encode_subwords(subwords: Subwords, text: str) -> tuple[int, ...]:
    """Return the tokens of a text, without special tokens around it."""
    return tuple(
        build_subword_tokenizer(subwords.definition).encode(text, add_special_tokens=False).ids
    )


def normalize_subwords(subwords: Subwords, text: str) -> str:
    """Return a text as the tokenizer changes it before it looks up tokens."""
    normalizer = build_subword_tokenizer(subwords.definition).normalizer
    return text if normalizer is None else str(normalizer.normalize_str(text))


@lru_cache(maxsize=4)
def alphabet_of(subwords: Subwords) -> frozenset[str] | None:
    """Return the characters that tokens can write; None: all, some of them as bytes."""
    model = json.loads(subwords.definition)["model"]
    if subwords.mark == _BYTE_MARK or model.get("byte_fallback"):
        return None
    special = list_special(subwords)
    columns = list_columns(subwords).items()
    return frozenset("".join(token for token, column in columns if column not in special))

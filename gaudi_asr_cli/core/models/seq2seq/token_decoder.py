"""Whisper's tokens to text, equal to transformers' tokenizer, which takes longer to import."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaudi_asr_cli.core.errors import AsrError
from gaudi_asr_cli.core.json_files import read_json_object
from gaudi_asr_cli.core.models.contents import COPY_AGAIN
from gaudi_asr_cli.core.models.folder import ModelFolder
from gaudi_asr_cli.core.models.own_code import ASKS_FOR_CODE

if TYPE_CHECKING:
    from tokenizers import Tokenizer

CLASSES = frozenset({"WhisperTokenizer", "WhisperTokenizerFast"})
NAMED_TOKENS = ("bos_token", "eos_token", "pad_token", "unk_token")
TIMESTAMP = re.compile(r"<\|(\d+\.\d+)\|>")
PREVIOUS, START = "<|startofprev|>", "<|startoftranscript|>"


@dataclass(frozen=True, slots=True)
class TokenDecoder:
    """The part of a Whisper tokenizer that inference needs."""

    tokenizer: Tokenizer
    eos_token_id: int | None
    pad_token_id: int | None

    def decode(self, tokens: Sequence[int], *, skip_special_tokens: bool) -> str:
        """Return the text of token ids."""
        shown = self._drop_prompt(list(tokens)) if skip_special_tokens else list(tokens)
        text = self.tokenizer.decode(shown, skip_special_tokens=skip_special_tokens)
        return TIMESTAMP.sub("", text)

    def _drop_prompt(self, tokens: list[int]) -> list[int]:
        """Drop the text of an earlier window, which is before the start token."""
        if not tokens or tokens[0] != self.tokenizer.token_to_id(PREVIOUS):
            return tokens
        start = self.tokenizer.token_to_id(START)
        return tokens[tokens.index(start) :] if start in tokens else []


def open_token_decoder(folder: ModelFolder) -> TokenDecoder | None:
    """Open the tokenizer of a Whisper for decoding.

    None if transformers should open it: it has no file with all tokens, or settings of another
    kind.
    """
    settings_path = folder.path / "tokenizer_config.json"
    if not settings_path.is_file():
        return None
    settings = read_json_object(settings_path, remedy=COPY_AGAIN)
    if settings.get("tokenizer_class") not in CLASSES or any(map(settings.get, ASKS_FOR_CODE)):
        return None
    # transformers 4 removes spaces before punctuation where a folder asks for it; 5 does not.
    cleans_up = bool(settings.get("clean_up_tokenization_spaces"))
    if cleans_up and int(version("transformers").partition(".")[0]) < 5:
        return None
    tokenizer = _read_tokenizer(folder.path, settings)
    return None if tokenizer is None else _check(tokenizer, settings)


def _check(tokenizer: Tokenizer, settings: Mapping[str, Any]) -> TokenDecoder | None:
    """Return the decoder if tokenizer_config.json says of the tokens what their file says."""
    from tokenizers import decoders

    added = tokenizer.get_added_tokens_decoder()
    special = {token.content for token in added.values() if token.special}
    named = dict(_named_tokens(settings))
    usual = isinstance(tokenizer.decoder, decoders.ByteLevel) and special.issuperset(named.values())
    if not usual or not _agree(settings.get("added_tokens_decoder"), added):
        return None
    ids = {name: tokenizer.token_to_id(token) for name, token in named.items()}
    return TokenDecoder(tokenizer, ids.get("eos_token"), ids.get("pad_token"))


def _read_tokenizer(directory: Path, settings: Mapping[str, Any]) -> Tokenizer | None:
    """Read the tokens from tokenizer.json, or from vocab.json and tokenizer_config.json."""
    from tokenizers import Tokenizer

    try:
        if (directory / "tokenizer.json").is_file():
            return Tokenizer.from_file(str(directory / "tokenizer.json"))
        if (directory / "vocab.json").is_file() and settings.get("added_tokens_decoder"):
            vocabulary = read_json_object(directory / "vocab.json", remedy=COPY_AGAIN)
            return _build(vocabulary, settings["added_tokens_decoder"])
    except AsrError:
        raise
    except Exception as error:  # noqa: BLE001 - the library raises no narrower class
        del error
    return None


def _build(vocabulary: dict[str, int], added: Mapping[str, Mapping[str, Any]]) -> Tokenizer:
    """Build a byte-level tokenizer that decodes; to encode, it would need its merges."""
    from tokenizers import AddedToken, Tokenizer, decoders, models

    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.decoder = decoders.ByteLevel()
    for _, token in sorted(added.items(), key=lambda item: int(item[0])):
        tokenizer.add_tokens([AddedToken(token["content"], special=bool(token.get("special")))])
    return tokenizer


def _named_tokens(settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the special tokens of tokenizer_config.json by name."""
    for name in NAMED_TOKENS:
        token = settings.get(name)
        token = token.get("content") if isinstance(token, dict) else token
        if token is not None:
            yield name, str(token)
    extra = settings.get("additional_special_tokens") or settings.get("extra_special_tokens") or []
    for index, token in enumerate(extra):
        yield f"extra {index}", str(token.get("content") if isinstance(token, dict) else token)


def _agree(listed: Any, added: Mapping[int, Any]) -> bool:
    """Return whether tokenizer_config.json lists added tokens as tokenizer.json does, or none."""
    if not listed:
        return listed is None or listed == {}
    if not isinstance(listed, dict) or not all(isinstance(one, dict) for one in listed.values()):
        return False
    found = {str(number): (token.content, token.special) for number, token in added.items()}
    return all(
        found.get(number) == (one.get("content"), one.get("special"))
        for number, one in listed.items()
    )

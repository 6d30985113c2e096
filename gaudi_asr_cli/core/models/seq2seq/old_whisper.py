"""Fill in what the generation settings of older Whisper folders lack, from their other files.

Folders before transformers 4.31 have no generation_config.json, or one without the ids of languages
and tasks. Forced ids and suppressed tokens are then in config.json, and the ids in the tokenizer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.json_files import read_json_object
from gaudi_asr_cli.core.models.contents import COPY_AGAIN
from gaudi_asr_cli.core.models.folder import ModelFolder
from gaudi_asr_cli.core.models.seq2seq.generation import is_multilingual
from gaudi_asr_cli.core.models.seq2seq.settings_check import check_settings

LANGUAGE = re.compile(r"<\|[a-z]{2,3}\|>")
"""A token of a language: codes of two letters, and `haw`, `yue`, `jw`."""
TASK_TOKENS = {"transcribe": "<|transcribe|>", "translate": "<|translate|>"}
MARK_TOKENS = {
    "no_timestamps_token_id": "<|notimestamps|>",
    "prev_sot_token_id": "<|startofprev|>",
    "decoder_start_token_id": "<|startoftranscript|>",
}
MODEL_FIELDS = ("suppress_tokens", "begin_suppress_tokens", "forced_decoder_ids")
FIRST_TIME_OFFSET = 50
"""The first timestamp is at most 1 s after the start of a window: so many steps of 0.02 s."""


def is_old(settings: Any) -> bool:
    """Return whether generation settings lack what says which languages the model has."""
    return not hasattr(settings, "is_multilingual") and not getattr(settings, "lang_to_id", None)


def complete_settings(settings: Any, folder: ModelFolder) -> None:
    """Fill in, in place, the generation settings of a Whisper that older folders keep elsewhere.

    Newer settings are complete, tasks aside: there a language and a task that are forced by their
    ids become those of the settings.

    Raises:
        DataError: A file of the tokenizer is broken, forced ids are no pairs, there is a language
            but no task, or a setting is of another kind.
    """
    if is_old(settings):
        config = folder.read_config()
        stored = _stored_fields(folder)
        for name in MODEL_FIELDS:
            if name not in stored and name in config:
                setattr(settings, name, config[name])
        _add_tokens(settings, _known_tokens(folder), config)
    check_settings(settings, folder)
    if is_multilingual(settings):
        _complete_tasks(settings, folder)
    _apply_forced(settings)


def _complete_tasks(settings: Any, folder: ModelFolder) -> None:
    """Add the ids of tasks that the settings lack, from the tokenizer.

    Raises:
        DataError: Neither has the id of transcribing.
    """
    known = getattr(settings, "task_to_id", None) or {}
    if not TASK_TOKENS.keys() <= known.keys():
        settings.task_to_id = known = _find_tasks(_known_tokens(folder)) | known
    if "transcribe" not in known:
        raise DataError(
            f"{folder.name} has languages but no task: neither generation_config.json (task_to_id) "
            f"nor the tokenizer has {TASK_TOKENS['transcribe']}.",
            remedy="Copy generation_config.json and the tokenizer that came with the weights.",
        )


def _known_tokens(folder: ModelFolder) -> dict[str, int]:
    """Return the added tokens of the tokenizer that the head has a row for."""
    size = folder.read_config().get("vocab_size")
    tokens = read_tokens(folder)
    return {name: one for name, one in tokens.items() if isinstance(size, int) and one < size}


def _find_tasks(tokens: Mapping[str, int]) -> dict[str, int]:
    return {name: tokens[one] for name, one in TASK_TOKENS.items() if one in tokens}


def _stored_fields(folder: ModelFolder) -> Mapping[str, Any]:
    path = folder.path / "generation_config.json"
    return read_json_object(path, remedy=COPY_AGAIN) if path.exists() else {}


def _add_tokens(settings: Any, tokens: Mapping[str, int], config: Mapping[str, Any]) -> None:
    """Set ids of languages, tasks and marks from the tokens of the tokenizer."""
    for field, token in MARK_TOKENS.items():
        if getattr(settings, field, None) is None and token in tokens:
            setattr(settings, field, tokens[token])
    if getattr(settings, "max_initial_timestamp_index", None) is None:
        settings.max_initial_timestamp_index = FIRST_TIME_OFFSET
    languages = {name: one for name, one in tokens.items() if LANGUAGE.fullmatch(name)}
    settings.is_multilingual = bool(languages) and not _is_english_only(settings, config, languages)
    if settings.is_multilingual:
        settings.lang_to_id = languages
        settings.task_to_id = _find_tasks(tokens)


def _is_english_only(
    settings: Any, config: Mapping[str, Any], languages: Mapping[str, int]
) -> bool:
    """Return whether the model has no languages although its tokenizer has: `whisper-tiny.en`.

    Its forced ids have none, and its vocabulary is one token smaller.
    """
    forced = [pair[1] for pair in _pairs(settings)]
    if forced:
        return None not in forced and not set(forced) & set(languages.values())
    return config.get("vocab_size") == 51_864


def _apply_forced(settings: Any) -> None:
    """Make language and task those of the forced ids, unless they are set themselves.

    transformers ignores forced ids once a task is given, as it always is here.
    """
    languages = {one: name for name, one in (getattr(settings, "lang_to_id", None) or {}).items()}
    if not languages:
        return
    tasks = {one: name for name, one in (getattr(settings, "task_to_id", None) or {}).items()}
    chosen = (getattr(settings, "language", None), getattr(settings, "task", None))
    for _, token in _pairs(settings) if chosen == (None, None) else ():
        if token in languages:
            settings.language = languages[token]
        if token in tasks:
            settings.task = tasks[token]


def _pairs(settings: Any) -> list[Any]:
    forced = getattr(settings, "forced_decoder_ids", None) or []
    if not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in forced):
        raise DataError(
            f"forced_decoder_ids is {str(forced)[:60]}, not a list of pairs of position and token.",
            remedy="Correct it in generation_config.json or config.json, or remove it.",
        )
    return list(forced)


def read_tokens(folder: ModelFolder) -> dict[str, int]:
    """Read the added tokens of a folder's tokenizer, wherever its version keeps them."""
    found = (pair for pairs in _TOKEN_FILES.items() for pair in _read_file(folder, *pairs))
    return {name: one for name, one in found if isinstance(name, str) and type(one) is int}


def _read_file(folder: ModelFolder, name: str, kind: str) -> Iterator[tuple[Any, Any]]:
    path = folder.path / name
    if not path.exists():
        return
    content = read_json_object(path, remedy=COPY_AGAIN)
    if kind == "ids":
        yield from content.items()
        return
    listed = content.get(kind)
    if isinstance(listed, dict):
        listed = [{**one, "id": _number(key)} for key, one in listed.items() if _is_table(one)]
    for one in listed if isinstance(listed, list) else ():
        if _is_table(one):
            yield one.get("content"), one.get("id")


_TOKEN_FILES = {
    "vocab.json": "ids",
    "added_tokens.json": "ids",
    "tokenizer_config.json": "added_tokens_decoder",
    "tokenizer.json": "added_tokens",
}
"""Files that may list tokens, and how: by id, or under a key."""


def _is_table(value: Any) -> bool:
    return isinstance(value, dict)


def _number(key: str) -> int | None:
    return int(key) if key.isascii() and key.isdigit() and len(key) < 10 else None

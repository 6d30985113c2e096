"""The settings of generation in a Whisper's folder, read without transformers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from gaudi_asr_cli.core.json_files import read_json_object
from gaudi_asr_cli.core.models.contents import COPY_AGAIN
from gaudi_asr_cli.core.models.folder import ModelFolder

FILE = "generation_config.json"
NUMBERS = ("decoder_start_token_id", "no_timestamps_token_id", "max_initial_timestamp_index")
OPTIONAL_NUMBERS = ("bos_token_id", "eos_token_id", "pad_token_id", "max_length", "max_new_tokens")
LISTS = ("suppress_tokens", "begin_suppress_tokens")
TABLES = ("lang_to_id", "task_to_id")


def read_generation_settings(folder: ModelFolder) -> Any | None:
    """Return the content of generation_config.json as attributes.

    None if transformers should read it: there is none, or it has values of an unusual type.
    """
    path = folder.path / FILE
    if not path.exists():
        return None
    content = read_json_object(path, remedy=COPY_AGAIN)
    return SimpleNamespace(**_with_defaults(content)) if _is_usual(content) else None


def _with_defaults(content: dict[str, Any]) -> dict[str, Any]:
    """Return the fields with None for those that every configuration of transformers has."""
    return dict.fromkeys(("decoder_start_token_id", *OPTIONAL_NUMBERS, *LISTS)) | content


def _is_usual(content: dict[str, Any]) -> bool:
    numbers = all(_is_id(content.get(name)) for name in (*NUMBERS, *OPTIONAL_NUMBERS))
    lists = all(_is_list(content.get(name)) for name in LISTS)
    tables = all(_is_table(content.get(name)) for name in TABLES)
    return numbers and lists and tables and _are_pairs(content.get("forced_decoder_ids"))


def _is_id(value: Any) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0)


def _is_list(value: Any) -> bool:
    return value is None or (isinstance(value, list) and all(isinstance(one, int) for one in value))


def _is_table(value: Any) -> bool:
    return value is None or (
        isinstance(value, dict) and all(isinstance(one, int) for one in value.values())
    )


def _are_pairs(value: Any) -> bool:
    return value is None or (
        isinstance(value, list) and all(isinstance(one, list) and len(one) == 2 for one in value)
    )

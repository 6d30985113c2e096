"""Save a subword tokenizer so that transformers 4.55 opens what transformers 5 wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gaudi_asr_cli.core.models.own_code import ASKS_FOR_CODE
from gaudi_asr_cli.core.models.quiet import quiet_transformers
from gaudi_asr_cli.core.whole_files import write_whole

COMPATIBLE_CLASSES = {"TokenizersBackend": "PreTrainedTokenizerFast"}
"""Tokenizer classes of transformers 5 to names that both versions know."""

TRANSIENT_FIELDS = ("is_local", "local_files_only", "backend")
"""Fields in which transformers 5 records how the tokenizer was opened."""


def save_tokenizer(tokenizer: Any, directory: Path) -> None:
    """Write the tokenizer's files.

    They name its class: next to the config.json of a speech encoder-decoder, transformers would
    otherwise choose the encoder's tokenizer.
    """
    with quiet_transformers():
        tokenizer.save_pretrained(directory)
    path = directory / "tokenizer_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    kind = settings.get("tokenizer_class") or type(tokenizer).__name__
    settings["tokenizer_class"] = COMPATIBLE_CLASSES.get(kind, kind)
    for name in (*TRANSIENT_FIELDS, *ASKS_FOR_CODE):
        settings.pop(name, None)
    if isinstance(settings.get("extra_special_tokens"), list):
        # 4.55 expects a mapping under this name and lists under the older one.
        extra = settings.pop("extra_special_tokens")
        settings |= {"additional_special_tokens": extra} if extra else {}
    write_whole(path, json.dumps(settings, indent=2, ensure_ascii=False) + "\n")

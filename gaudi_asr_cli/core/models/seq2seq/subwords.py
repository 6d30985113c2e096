"""A decoder's tokenizer, saved so that transformers 4.55 opens what 5 has written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gaudi_asr_cli.core.models.own_code import ASKS_FOR_CODE
from gaudi_asr_cli.core.models.quiet import quiet_transformers

OLD_NAMES = {"TokenizersBackend": "PreTrainedTokenizerFast"}
"""What transformers 5 calls its classes, and the names that both know."""

OF_THE_MOMENT = ("is_local", "local_files_only", "backend")
"""What transformers 5 writes about how the tokenizer was opened."""


def save_tokenizer(tokenizer: Any, directory: Path) -> None:
    """Write the tokenizer's files.

    Its class is named in them: beside a speech encoder-decoder's config.json transformers would
    otherwise take the encoder's tokenizer.
    """
    with quiet_transformers():
        tokenizer.save_pretrained(directory)
    path = directory / "tokenizer_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    kind = settings.get("tokenizer_class") or type(tokenizer).__name__
    settings["tokenizer_class"] = OLD_NAMES.get(kind, kind)
    for name in (*OF_THE_MOMENT, *ASKS_FOR_CODE):
        settings.pop(name, None)
    if isinstance(settings.get("extra_special_tokens"), list):
        # 4.55 reads a mapping under this name, and lists under the old one.
        extra = settings.pop("extra_special_tokens")
        settings |= {"additional_special_tokens": extra} if extra else {}
    path.write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

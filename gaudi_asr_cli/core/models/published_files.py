"""The files of a model that are published, and what is removed from them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.json_files import read_json_object
from gaudi_asr_cli.core.local_paths import hide_local_paths
from gaudi_asr_cli.core.models.contents import COPY_AGAIN
from gaudi_asr_cli.core.models.folder import JSON_FILES
from gaudi_asr_cli.core.secret_values import hide_in_text
from gaudi_asr_cli.core.whole_files import write_whole

CARD = "README.md"
CONFIGURATIONS = (
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "special_tokens_map.json",
    "tokenizer_config.json",
)
"""Files whose text values may be paths of this machine; those of a tokenizer are its tokens."""
PATTERNS = (
    *JSON_FILES,
    *("*.safetensors", "normalizer.json", "vocab.txt", "merges.txt", "*.model"),
    *("chat_template.jinja", "LICENSE", "LICENSE.*"),
)
"""Names of the files that are published besides the card; no other file is."""


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """A file to publish: the `text` that is sent in place of what is on the disk, if any."""

    name: str
    path: Path
    text: str | None = None

    @property
    def size_bytes(self) -> int:
        return self.path.stat().st_size if self.text is None else len(self.text.encode())

    def place(self, folder: Path) -> None:
        """Put the file into a folder: a link to it where it is sent as it is."""
        if self.text is None:
            (folder / self.name).symlink_to(self.path.resolve())
        else:
            write_whole(folder / self.name, self.text)


def choose_files(folder: Path) -> tuple[list[PublishedFile], list[str]]:
    """Return the files of a model folder that are published, and the names of all others.

    The card is among neither.

    Raises:
        DataError: Weights or a configuration are broken, or contain a token or password.
    """
    chosen: list[PublishedFile] = []
    others: list[str] = []
    for path in sorted(folder.iterdir()):
        if path.name == CARD:
            continue
        wanted = any(fnmatchcase(path.name, pattern) for pattern in PATTERNS)
        if not wanted or not path.is_file():
            others.append(path.name)
            continue
        if path.suffix == ".safetensors":
            reject_damaged(path)
        text = _shareable_text(path) if path.name in CONFIGURATIONS else None
        chosen.append(PublishedFile(path.name, path, text))
    return chosen, others


def reject_damaged(path: Path) -> None:
    """Check that a safetensors file is complete.

    Raises:
        DataError: It is not.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np"):
            pass
    except (SafetensorError, OSError) as error:
        raise DataError(
            f"{path} is not a complete safetensors file: {error}.",
            remedy="Restore it, or resume the run: the checkpoint has the weights.",
        ) from error


def _shareable_text(path: Path) -> str | None:
    """Return a configuration without local paths; None if it has none."""
    values = read_json_object(path, remedy=COPY_AGAIN)
    reject_secrets(path, path.read_text(encoding="utf-8"))
    shareable = hide_local_paths(values)
    if shareable == values:
        return None
    return json.dumps(shareable, indent=2, ensure_ascii=False) + "\n"


def reject_secrets(path: Path, text: str) -> None:
    """Check that a text to publish contains no token or password that is known as one.

    Raises:
        DataError: It does; the message names the file, not the secret.
    """
    if hide_in_text(text) != text:
        raise DataError(
            f"{path} contains a token or password.", remedy="Remove it from the file first."
        )

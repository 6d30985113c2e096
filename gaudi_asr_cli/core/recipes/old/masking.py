"""Words of a command line without the secrets in them, to be shown."""

from __future__ import annotations

import re
from collections.abc import Iterable

HIDDEN = "***"
_NAMED = re.compile(r"(?P<name>[A-Za-z_-][\w-]*)(?P<between>[=: ]\s*)(?P<value>[^\s\"']+)")
_HUB_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{8,}")
_SECRET = re.compile(
    r"secret|passw|credential|(^|[_-])(api_?key|access_?key)$|(^|[_-])token$", re.IGNORECASE
)
_HARMLESS = re.compile(r"(pad|unk|bos|eos|mask|sep|cls|delimiter)[_-]token$", re.IGNORECASE)


def is_secret(name: str) -> bool:
    """Whether a variable or option of that name holds something that nobody is to see."""
    return _SECRET.search(name) is not None and _HARMLESS.search(name) is None


def masked(text: str) -> str:
    """The text with the values of tokens, secrets and passwords replaced by asterisks."""
    return _HUB_TOKEN.sub(HIDDEN, _NAMED.sub(_hide, text))


def masked_words(words: Iterable[str]) -> str:
    """The words as one line, masked."""
    return masked(" ".join(words))


def _hide(found: re.Match[str]) -> str:
    if found["value"].startswith("-") or not is_secret(found["name"]):
        return found.group()
    return f"{found['name']}{found['between']}{HIDDEN}"

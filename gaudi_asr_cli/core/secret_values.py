"""Tokens, passwords and keys: recognise them by name, and remove them from text and values."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from typing import Any

HIDDEN = "***"
HANDED = "GAUDI_ASR_SECRETS"
"""Environment variable that passes the secrets of a recipe to ranks, as a JSON object."""
MIN_LENGTH = 6
"""Shorter values are not replaced in text: too many words would match."""

ALWAYS = ("apikey", "accesskey", "authorization", "credential", "passphrase", "passwd", "password",
          "privatekey", "secret")  # fmt: skip
"""A name that contains one of these is that of a secret."""

OF_TEXT = frozenset(
    {"additional", "audio", "blank", "bos", "class", "cls", "decoder", "delimiter", "end", "eos",
     "image", "lang", "language", "mask", "new", "no", "pad", "prefix", "sep", "special", "start",
     "task", "timestamps", "unk", "unknown", "word"}
)  # fmt: skip
"""Words in names of text tokens, such as `pad_token`."""

OF_ACCESS = frozenset({"access", "api", "auth", "bearer", "hf", "hub", "refresh"})
"""Words in names of secret tokens in the plural: `max_tokens` is not one."""

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_ASSIGNMENT = re.compile(r"(?:--?)?([A-Za-z_][\w.-]*)=(.*)", re.DOTALL)
_INLINE = re.compile(r"([\w.-]+)['\"]?\s*:\s*['\"]?([^\s,'\"{}]+)")
_YAML_LINE = re.compile(r"(\s*(?:- )?['\"]?)([\w.-]+)(['\"]?\s*:\s+)(\S.*)")
_URL_USER = re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^\s/@:'\"]*:[^\s/@'\"]+@", re.IGNORECASE)
_KNOWN_TOKENS = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{8,}|gh[pousr]_[A-Za-z0-9]{30,}|sk-[A-Za-z0-9_-]{20,}|AKIA[A-Z0-9]{16})\b"
)


def is_secret_name(name: object) -> bool:
    """Return whether a field, option or variable of this name contains a secret.

    `hub_token`, `HF_TOKEN`, `--api-key` and `db.password` do; `pad_token`, `eos_token_id`,
    `max_tokens`, `tokenizer` and `monkey` do not. A key of YAML may also be a number or null.
    """
    words = [word.lower() for word in _WORDS.findall(str(name))]
    if not words:
        return False
    if any(part in "".join(words) for part in ALWAYS):
        return True
    before, last = set(words[:-1]), str(words[-1])
    if last == "token":
        return not OF_TEXT.intersection(before)
    if last.endswith("token") and last.removesuffix("token") in OF_ACCESS:
        return True
    if last == "tokens":
        return bool(OF_ACCESS.intersection(before))
    return last == "key" or (last == "pwd" and bool(before))


def without_secrets(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the mapping without the entries that are secrets, at any depth."""
    kept = {name: v for name, v in values.items() if v is None or not is_secret_name(name)}
    return {name: _cleaned(value) for name, value in kept.items()}


def _cleaned(value: Any) -> Any:
    if isinstance(value, Mapping):
        return without_secrets(value)
    if isinstance(value, (list, tuple)):
        return [_cleaned(item) for item in value]
    return hide_in_text(value, ()) if isinstance(value, str) else value


def secrets_in(values: Mapping[str, Any]) -> Iterator[str]:
    """Yield the text of each secret in a mapping, at any depth."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from secrets_in(value)
        elif is_secret_name(name) and value is not None and not isinstance(value, bool):
            yield str(value)


@contextmanager
def secrets_left_out(values: dict[str, Any]) -> Iterator[None]:
    """Remove the secrets from a mapping while the block runs."""
    before = dict(values)
    hidden = {name: None for name, v in before.items() if v and is_secret_name(name)}
    inner = {name: without_secrets(v) for name, v in before.items() if isinstance(v, dict)}
    values.update({**inner, **hidden})
    try:
        yield
    finally:
        values.update(before)


def only_secrets(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries that `without_secrets` leaves out, in their mappings."""
    inner = {name: only_secrets(v) for name, v in values.items() if isinstance(v, Mapping)}
    direct = {name: v for name, v in values.items() if v is not None and is_secret_name(name)}
    return {**{name: v for name, v in inner.items() if v}, **direct}


def handed_secrets(environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Return the secrets that the launcher of this rank passed in the environment."""
    values: dict[str, Any] = json.loads(environment.get(HANDED, "{}"))
    return values


def hide_in_words(words: Sequence[str]) -> list[str]:
    """Return a command line with `***` for each secret: after its option, after `=`, in a URL."""
    found = set(secrets_of_words(words))
    return [_hide_word(word, words[:index], found) for index, word in enumerate(words)]


def _hide_word(word: str, before: Sequence[str], secrets: set[str]) -> str:
    if word in secrets and before and not word.startswith("-"):
        return HIDDEN
    match = _ASSIGNMENT.fullmatch(word)
    if match is not None and is_secret_name(match[1]):
        return f"{word[: match.start(2)]}{HIDDEN}"
    for secret in secrets_of_words([word]):
        word = word.replace(secret, HIDDEN)
    return hide_in_text(word, secrets)


def secrets_of_words(words: Sequence[str]) -> Iterator[str]:
    """Yield the secrets of a command line: `--name VALUE`, `name=VALUE`, `{name: VALUE}`."""
    for word, following in zip_longest(words, words[1:], fillvalue=""):
        match = _ASSIGNMENT.fullmatch(word)
        if match is not None and is_secret_name(match[1]):
            yield match[2].strip("'\"")
        elif word.startswith("-") and "=" not in word and is_secret_name(word):
            yield from () if following.startswith("-") or not following else (following,)
        else:
            yield from _secrets_inside(word, match)


def _secrets_inside(word: str, match: re.Match[str] | None) -> Iterator[str]:
    """Yield the secrets inside a compound word: `--set=key=value`, a mapping, a whole command."""
    if match is not None and "=" in match[2]:
        yield from secrets_of_words([match[2]])
    if "{" in word:
        yield from (found[2] for found in _INLINE.finditer(word) if is_secret_name(found[1]))
    if len(parts := word.split()) > 1:
        yield from secrets_of_words(parts)


def known_secrets(
    words: Sequence[str] | None = None, environment: Mapping[str, str] = os.environ
) -> frozenset[str]:
    """Return the secrets of this process: on its command line and in its environment."""
    named = {v for name, v in environment.items() if is_secret_name(name) and name != HANDED}
    given = secrets_of_words(sys.argv if words is None else words)
    return frozenset({*named, *given, *secrets_in(handed_secrets(environment))})


def hide_in_text(
    text: str, secrets: Sequence[str] | frozenset[str] | set[str] | None = None
) -> str:
    """Return the text with `***` for secrets: known values, passwords in URLs, hub tokens.

    Args:
        text: Text of an error, a log or a file.
        secrets: Known values; None: those of this process.
    """
    known = known_secrets() if secrets is None else secrets
    # The longest first: one may be part of another.
    for secret in sorted(known, key=len, reverse=True):
        if len(secret) >= MIN_LENGTH:
            text = text.replace(secret, HIDDEN)
    text = _URL_USER.sub(rf"\1{HIDDEN}@", text)
    return _KNOWN_TOKENS.sub(HIDDEN, text)


def hide_in_line(text: str) -> str:
    """Return part of a shell command with `***` for each secret in it."""
    return " ".join(hide_in_words(text.split(" ")))


def hide_in_yaml(text: str) -> str:
    """Return YAML text, comments included, with `***` for each secret."""
    return "".join(map(_hide_yaml_line, text.splitlines(keepends=True)))


def _hide_yaml_line(line: str) -> str:
    match = _YAML_LINE.match(line)
    if match is not None and is_secret_name(match[2]):
        end = "\n" if line.endswith("\n") else ""
        return f"{match[1]}{match[2]}{match[3]}'{HIDDEN}'{end}"
    return hide_in_text(line, ())

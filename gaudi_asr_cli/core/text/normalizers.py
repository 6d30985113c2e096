"""Text as it is compared: a score names the normaliser and its version beside every rate."""

from __future__ import annotations

import difflib
import re
import unicodedata
import warnings
from collections.abc import Callable
from functools import cache
from importlib.metadata import version

from gaudi_asr_cli.core.errors import MachineError, UsageError

Normalizer = Callable[[str], str]

_BRACKETED = re.compile(r"[<\[][^>\]]*[>\]]")
_PARENTHESISED = re.compile(r"\(([^)]+?)\)")
_WHITE_SPACE = re.compile(r"\s+")


def keep_text(text: str) -> str:
    """The text as it is."""
    return text


def normalize_basic(text: str) -> str:
    """Whisper's basic normaliser: lower case, no bracketed remarks, marks and symbols as spaces.

    The same text as transformers' `BasicTextNormalizer()`, which a test compares.
    Source: appendix C of Radford et al. 2022, "Robust Speech Recognition via Large-Scale Weak
    Supervision". Apostrophes are punctuation there: "don't" becomes two words on both sides.
    """
    text = _PARENTHESISED.sub("", _BRACKETED.sub("", text.lower()))
    composed = unicodedata.normalize("NFKC", text)
    spaced = "".join(" " if unicodedata.category(c)[0] in "MSP" else c for c in composed)
    return _WHITE_SPACE.sub(" ", spaced.lower())


def normalize_whisper_english(text: str) -> str:
    """Whisper's English normaliser: numbers as digits, British spelling as American, no fillers.

    Raises:
        MachineError: The package `whisper-normalizer` is not installed.
    """
    return _open_whisper_english()(text)


@cache
def _open_whisper_english() -> Normalizer:
    try:
        # Here, not above: its spelling table takes 0.1 s to import and only English needs it.
        with warnings.catch_warnings():
            # Its first import compiles a docstring with `\X`, of which Python warns.
            warnings.simplefilter("ignore")
            from whisper_normalizer.english import EnglishTextNormalizer
    except ImportError as error:
        raise MachineError(
            "The normaliser whisper-english needs the package whisper-normalizer.",
            remedy="Run pip install whisper-normalizer, or choose --normalizer basic.",
        ) from error
    normalizer: Normalizer = EnglishTextNormalizer()
    return normalizer


NORMALIZERS: dict[str, Normalizer] = {
    "none": keep_text,
    "basic": normalize_basic,
    "whisper-english": normalize_whisper_english,
}


def open_normalizer(name: str) -> Normalizer:
    """The normaliser of that name.

    Raises:
        UsageError: There is none of that name.
    """
    if name in NORMALIZERS:
        return NORMALIZERS[name]
    close = difflib.get_close_matches(name, NORMALIZERS, n=1)
    hint = f"Did you mean {close[0]}? " if close else ""
    raise UsageError(
        f"There is no normaliser {name!r}.", remedy=f"{hint}Choose one of {', '.join(NORMALIZERS)}."
    )


def label_normalizer(name: str) -> str:
    """Name and version, as a score carries it: `basic/1`, `whisper-english/0.1.15`."""
    if name == "whisper-english":
        open_normalizer(name)("")
        return f"{name}/{version('whisper-normalizer')}"
    return f"{name}/1"

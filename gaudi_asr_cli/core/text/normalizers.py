"""Text normalisers: a score names the normaliser and its version next to every rate."""

from __future__ import annotations

import difflib
import re
import unicodedata
import warnings
from collections.abc import Callable
from functools import cache, partial
from importlib.metadata import version
from typing import Any

from gaudi_asr_cli.core.errors import MachineError, UsageError
from gaudi_asr_cli.core.text.casing import Casing, casing_of, fold
from gaudi_asr_cli.core.text.ignorable import drop_ignorable

Normalizer = Callable[[str], str]

_BRACKETED = re.compile(r"[<\[][^>\]]*[>\]]")
_PARENTHESISED = re.compile(r"\(([^)]+?)\)")
_WHITE_SPACE = re.compile(r"\s+")


def keep_text(text: str) -> str:
    """Return the text unchanged."""
    return text


def normalize_basic(text: str) -> str:
    """Apply `basic/1`, Whisper's basic normaliser.

    Lower case, no bracketed remarks, marks and symbols as spaces. The result equals that of
    transformers' `BasicTextNormalizer()`, which a test checks.
    Source: appendix C of Radford et al. 2022, "Robust Speech Recognition via Large-Scale Weak
    Supervision". Apostrophes are punctuation there: "don't" becomes two words on both sides.
    """
    text = _PARENTHESISED.sub("", _BRACKETED.sub("", text.lower()))
    composed = unicodedata.normalize("NFKC", text)
    spaced = "".join(" " if unicodedata.category(c)[0] in "MSP" else c for c in composed)
    return _WHITE_SPACE.sub(" ", spaced.lower())


def normalize_unicode(text: str, casing: Casing | None = None) -> str:
    """Apply `basic/2`: keep letters, marks and numbers, fold case; all else separates words.

    No mark splits its word, in any script. Default-ignorable characters are dropped and brackets
    become spaces, so bracketed text is scored. The order is that of Unicode's NFKC_Casefold, so
    the result does not depend on the composition of the text, and normalising is idempotent.
    Source: The Unicode Standard, section 3.13, D145 to D147.
    """
    folded = _fold_compatible(drop_ignorable(text), casing)
    kept = "".join(c if unicodedata.category(c)[0] in "LMN" else " " for c in folded)
    return " ".join(_attach(word) for word in kept.split())


def _fold_compatible(text: str, casing: Casing | None) -> str:
    """Fold before and after decomposing, since each can produce characters the other changes."""
    composed = unicodedata.normalize("NFKC", text) if casing else unicodedata.normalize("NFD", text)
    compatible = unicodedata.normalize("NFKD", fold(composed, casing))
    # NFKC turns some letters into ignorable characters: the half-width Hangul filler.
    return unicodedata.normalize("NFKC", drop_ignorable(compatible.casefold()))


def _attach(word: str) -> str:
    """Drop marks before the first letter: an acute typed as an apostrophe belongs to no letter.

    A word of marks alone is returned unchanged.
    """
    first = next((i for i, c in enumerate(word) if unicodedata.category(c)[0] != "M"), 0)
    return word[first:]


def normalize_whisper_english(text: str) -> str:
    """Apply Whisper's English normaliser: numbers as digits, British to American, no fillers.

    Raises:
        MachineError: The package `whisper-normalizer` is not installed.
    """
    return str(open_whisper_english()(text))


@cache
def open_whisper_english() -> Any:
    """Return whisper-normalizer's `EnglishTextNormalizer`; see `normalize_whisper_english`."""
    try:
        # Here, not above: its word table takes 0.1 s to import and only English needs it.
        with warnings.catch_warnings():
            # Its first import compiles a docstring with `\X`, about which Python warns.
            warnings.simplefilter("ignore")
            from whisper_normalizer.english import EnglishTextNormalizer
    except ImportError as error:
        raise MachineError(
            "The normaliser whisper-english needs the package whisper-normalizer.",
            remedy="Run pip install whisper-normalizer, or choose --normalizer basic.",
        ) from error
    return EnglishTextNormalizer()


NORMALIZERS: dict[str, Normalizer] = {
    "none": keep_text,
    "basic": normalize_unicode,
    "basic/1": normalize_basic,
    "basic/2": normalize_unicode,
    "whisper-english": normalize_whisper_english,
}
"""Name -> normaliser; `basic` is its newest version."""

_LABELS = {"none": "none/1", "basic": "basic/2"}


def open_normalizer(name: str, language: str | None = None) -> Normalizer:
    """Return the normaliser of that name, with the casing of the language where it applies.

    `basic/1` and `whisper-english` are published rules and ignore the language.

    Raises:
        UsageError: There is no normaliser of that name.
    """
    if name in NORMALIZERS:
        casing = casing_of(language)
        turkic = casing is not None and follows_language(name)
        return partial(normalize_unicode, casing=casing) if turkic else NORMALIZERS[name]
    close = difflib.get_close_matches(name, NORMALIZERS, n=1)
    hint = f"Did you mean {close[0]}? " if close else ""
    raise UsageError(
        f"There is no normaliser {name!r}.", remedy=f"{hint}Choose one of {', '.join(NORMALIZERS)}."
    )


def follows_language(name: str) -> bool:
    """Return whether the normaliser folds case by the rules of a language."""
    return NORMALIZERS.get(name) is normalize_unicode


def folds_case(name: str) -> bool:
    """Return whether the normaliser changes the case of letters."""
    return name != "none"


def keeps_remarks(name: str) -> bool:
    """Return whether words in brackets are scored, which published rules drop."""
    return NORMALIZERS.get(name) is normalize_unicode


def find_remark(text: str) -> str | None:
    """Return the first bracketed remark that `basic/1` would drop."""
    found = _BRACKETED.search(text) or _PARENTHESISED.search(text)
    return found.group() if found else None


def drops_ignorable(name: str) -> bool:
    """Return whether default-ignorable characters are dropped before texts are compared."""
    return NORMALIZERS.get(name) is normalize_unicode


def label_normalizer(name: str, language: str | None = None) -> str:
    """Return name and version, as in a score: `basic/2`, `whisper-english/0.1.15`.

    Turkic casing is part of the label: `basic/2 language='tr'`.
    """
    if name == "whisper-english":
        open_normalizer(name)("")
        return f"{name}/{version('whisper-normalizer')}"
    casing = casing_of(language) if follows_language(name) else None
    return " ".join([_LABELS.get(name, name), *([f"language={casing!r}"] if casing else [])])

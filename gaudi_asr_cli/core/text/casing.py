"""Language-dependent casing: the dotted and the dotless i of Turkic languages.

Turkish, Azeri, Crimean Tatar and Gagauz pair I with ı and İ with i, where every other language
pairs I with i. Source: Unicode, "SpecialCasing.txt", the mappings conditional on `tr` and `az`.
"""

from __future__ import annotations

import re
from typing import Literal

Casing = Literal["tr"]
"""The language whose casing rules are applied; the Turkic languages share them."""

_TURKIC = frozenset(
    {"tr", "tur", "turkish", "türkçe", "turkce", "az", "aze", "azj", "azb", "azeri", "azerbaijani"}
    | {"crh", "gag", "gagauz"}
)
_LOWER = str.maketrans({"I": "ı", "İ": "i"})
_UPPER = str.maketrans({"i": "İ", "ı": "I"})
_DOTTED_TWICE = re.compile("([iİ])\u0307+")
"""i with a combining dot is the result of lower-casing İ without a language."""
_TURKIC_I = re.compile("[İı]|[iI]\u0307")


def casing_of(language: str | None) -> Casing | None:
    """Return the casing rules of a language given by any usual name: `tr`, `tur`, `az-Latn`, ...

    None stands for the rules of all other languages.
    """
    named = (language or "").strip().lower().removeprefix("<|").removesuffix("|>")
    return "tr" if re.split(r"[-_ ]", named)[0] in _TURKIC else None


def lower(text: str, casing: Casing | None = None) -> str:
    """Return composed text in lower case, one letter for each letter.

    Unicode's full mapping of İ is i with a combining dot, which would become a separate character
    of a vocabulary; without a language its simple mapping, i, is used.
    """
    if casing is None:
        return text.replace("İ", "i").lower()
    return _plain(text).translate(_LOWER).lower()


def upper(text: str, casing: Casing | None = None) -> str:
    """Return text in upper case."""
    return text.upper() if casing is None else _plain(text).translate(_UPPER).upper()


def fold(text: str, casing: Casing | None = None) -> str:
    """Return composed text with its case folded, for comparison."""
    return text.casefold() if casing is None else _plain(text).translate(_LOWER).casefold()


def _plain(text: str) -> str:
    return _DOTTED_TWICE.sub(r"\1", text)


def holds_turkic_i(text: str) -> bool:
    """Return whether the text has a letter whose case depends on the language being Turkic."""
    return _TURKIC_I.search(text) is not None

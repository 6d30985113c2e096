"""Cleaning of transcripts before they become labels: only what the user requested."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Literal

from gaudi_asr_cli.core.text.casing import Casing, casing_of, lower, upper

CaseRule = Literal["keep", "lower", "upper"]
UnicodeForm = Literal["nfc", "nfkc"]


@dataclass(frozen=True, slots=True)
class TextRules:
    """Rules for cleaning text: only `strip_chars` are removed, and case folded only on request.

    `strip_chars` is a plain set of characters, never a pattern: `!-;` is three characters, not
    the range that also contains the digits and the apostrophe. `language` matters for the case of
    a few: Turkish and Azeri pair I with ı, and İ with i.
    """

    strip_chars: str = ""
    case: CaseRule = "keep"
    unicode: UnicodeForm = "nfc"
    language: str | None = None

    def clean(self, text: str) -> str:
        """Compose, strip and fold the text; white space becomes single spaces."""
        form: Literal["NFC", "NFKC"] = "NFKC" if self.unicode == "nfkc" else "NFC"
        # Stripped before and after composing: NFKC turns a listed `…` into dots, and NFC a letter
        # and a combining accent into the one character that was listed.
        named = dict.fromkeys(map(ord, self.strip_chars))
        stripped = unicodedata.normalize(form, text.translate(named)).translate(named)
        # Upper-casing may decompose (the small iota of `ᾳ`), so the text is composed last as well.
        return " ".join(
            unicodedata.normalize(
                form, _fold(stripped, self.case, casing_of(self.language))
            ).split()
        )

    def removed(self, text: str) -> str:
        """Return the characters of `text` that are in `strip_chars`, in order, repeats included."""
        named = frozenset(self.strip_chars)
        return "".join(character for character in text if character in named)


def _fold(text: str, case: CaseRule, casing: Casing | None) -> str:
    if case == "lower":
        return lower(text, casing)
    return upper(text, casing) if case == "upper" else text

"""What is done to a transcript before it becomes labels: nothing that was not asked for."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Literal

from gaudi_asr_cli.core.text.casing import Casing, casing_of, lower, upper

CaseRule = Literal["keep", "lower", "upper"]
UnicodeForm = Literal["nfc", "nfkc"]


@dataclass(frozen=True, slots=True)
class TextRules:
    """Exactly the characters of `strip_chars` are removed; letters are folded only if asked.

    `strip_chars` is a plain set of characters, never a pattern: `!-;` is three characters, not
    the range that also holds the digits and the apostrophe. `language` matters to the case of a
    few: Turkish and Azeri pair I with ı, and İ with i.
    """

    strip_chars: str = ""
    case: CaseRule = "keep"
    unicode: UnicodeForm = "nfc"
    language: str | None = None

    def clean(self, text: str) -> str:
        """Compose, strip, fold; runs of white space become one space, the ends none."""
        form: Literal["NFC", "NFKC"] = "NFKC" if self.unicode == "nfkc" else "NFC"
        # Stripped on both sides of composing: NFKC turns a named `…` into dots, and NFC a typed
        # letter and accent into the one character that was named.
        named = dict.fromkeys(map(ord, self.strip_chars))
        stripped = unicodedata.normalize(form, text.translate(named)).translate(named)
        # Upper-casing may decompose (the small iota of `ᾳ`), so composing comes last as well.
        return " ".join(
            unicodedata.normalize(
                form, _fold(stripped, self.case, casing_of(self.language))
            ).split()
        )

    def removed(self, text: str) -> str:
        """The characters of `text` that `strip_chars` names, in order, repeats included."""
        named = frozenset(self.strip_chars)
        return "".join(character for character in text if character in named)


def _fold(text: str, case: CaseRule, casing: Casing | None) -> str:
    if case == "lower":
        return lower(text, casing)
    return upper(text, casing) if case == "upper" else text

"""Advice on characters that a vocabulary lacks."""

from __future__ import annotations

import shlex
import unicodedata
from collections.abc import Mapping, Sequence

from gaudi_asr_cli.core.records import Vocabulary
from gaudi_asr_cli.core.text.rules import CaseRule, TextRules
from gaudi_asr_cli.core.text.vocabulary import count_unknown, suggest_case

SAMPLE_TEXTS = 1000
"""Number of texts from which their case is determined."""
MAX_UNKNOWN = 20
"""Maximum number of characters in a remedy."""


def fix_unknown(vocabulary: Vocabulary, texts: Sequence[str]) -> str:
    """Return advice that makes the texts fit the vocabulary: case first, then other characters.

    Letters, marks and digits must never be stripped, because they are spoken.
    """
    # Phonemes have no case.
    case: CaseRule = "keep" if vocabulary.phonemes_of else suggest_case(vocabulary, _sample(texts))
    rules = TextRules(case=case)
    unknown, _ = count_unknown(vocabulary, map(rules.clean, texts))
    spoken = [unit for unit in unknown if any(unicodedata.category(c)[0] in "LMN" for c in unit)]
    punctuation = [unit for unit in unknown if unit not in spoken]
    steps = [
        _fix_case(case, bool(unknown)),
        _fix_spoken(spoken, unknown) if spoken else "",
        f"Strip punctuation and symbols with --strip-chars {_quote(''.join(punctuation))}."
        if punctuation
        else "",
    ]
    return " ".join(filter(None, steps))


def _quote(text: str) -> str:
    """Return the text as a shell word, always in quotes."""
    quoted = shlex.quote(text)
    return f"'{text}'" if quoted == text else quoted


def _sample(texts: Sequence[str]) -> str:
    step = max(1, len(texts) // SAMPLE_TEXTS)
    return " ".join(texts[::step])


def _fix_case(case: CaseRule, incomplete: bool) -> str:
    if case == "keep":
        return ""
    rest = ", which leaves the following unknown." if incomplete else "."
    return f"The vocabulary is written in the other case: fold the text with --case {case}{rest}"


def _fix_spoken(spoken: Sequence[str], counts: Mapping[str, int]) -> str:
    shown = ", ".join(f"{unit!r} ({counts[unit]:,} times)" for unit in spoken[:MAX_UNKNOWN])
    more = f" and {len(spoken) - MAX_UNKNOWN} more" if len(spoken) > MAX_UNKNOWN else ""
    return (
        f"The vocabulary lacks {shown}{more}: train with a vocabulary of this data (--vocab data), "
        "or write these as the model would (digits as words, letters in its alphabet)."
    )

"""What to do about characters that a vocabulary lacks."""

from __future__ import annotations

import shlex
import unicodedata
from collections.abc import Mapping, Sequence

from gaudi_asr_cli.core.records import Vocabulary
from gaudi_asr_cli.core.text.rules import CaseRule, TextRules
from gaudi_asr_cli.core.text.vocabulary import count_unknown, suggest_case

SAMPLE_TEXTS = 1000
"""Texts enough to see which case they are written in."""
MOST_UNKNOWN = 20
"""Characters that a remedy names."""


def fix_unknown(vocabulary: Vocabulary, texts: Sequence[str]) -> str:
    """Say what makes the texts fit: the case first, then what no case helps.

    Letters, marks and digits are never to be stripped, for they are part of what is spoken.
    """
    # Phonemes have no case.
    case: CaseRule = "keep" if vocabulary.phonemes_of else suggest_case(vocabulary, _sample(texts))
    rules = TextRules(case=case)
    left, _ = count_unknown(vocabulary, map(rules.clean, texts))
    spoken = [one for one in left if any(unicodedata.category(c)[0] in "LMN" for c in one)]
    signs = [one for one in left if one not in spoken]
    steps = [
        _fix_case(case, bool(left)),
        _fix_spoken(spoken, left) if spoken else "",
        f"Strip the signs with --strip-chars {_quote(''.join(signs))}." if signs else "",
    ]
    return " ".join(filter(None, steps))


def _quote(text: str) -> str:
    """Return the text as a word of a shell, in quotes even where it needs none."""
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
    shown = ", ".join(f"{one!r} ({counts[one]:,} times)" for one in spoken[:MOST_UNKNOWN])
    more = f" and {len(spoken) - MOST_UNKNOWN} more" if len(spoken) > MOST_UNKNOWN else ""
    return (
        f"The vocabulary lacks {shown}{more}: train with a vocabulary of this data (--vocab data), "
        "or write these as the model would (digits as words, letters in its alphabet)."
    )

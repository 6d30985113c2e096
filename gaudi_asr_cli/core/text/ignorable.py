"""Default-ignorable characters of Unicode: zero-width ones, soft hyphens, direction marks.

Source: the property Default_Ignorable_Code_Point, Unicode Standard Annex 44.
"""

from __future__ import annotations

from collections import Counter

import regex

_IGNORABLE = regex.compile(r"\p{Default_Ignorable_Code_Point}")


def drop_ignorable(text: str) -> str:
    """Return the text without default-ignorable characters."""
    return str(_IGNORABLE.sub("", text))


def count_ignorable(text: str) -> Counter[str]:
    """Return how often each default-ignorable character occurs in the text."""
    return Counter(_IGNORABLE.findall(text))

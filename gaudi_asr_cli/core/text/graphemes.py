"""Text as a reader sees it: whole characters, and how many columns they take.

What is read as one character may be several code points: a letter with its marks, an emoji with
its joiners, a Hindi or Thai cluster. Source: Unicode Standard Annex 29 (borders), 11 (widths).
"""

from __future__ import annotations

from itertools import accumulate

import regex
from wcwidth import wcswidth

_GRAPHEME = regex.compile(r"\X")


def split_graphemes(text: str) -> list[str]:
    """Return the text cut between whatever a reader sees as one character."""
    return list(_GRAPHEME.findall(text))


def columns(text: str) -> int:
    """Return how many columns a fixed-width font gives the text; East Asian letters take two."""
    # Negative where it holds a control character, which no font draws.
    width = wcswidth(text)
    return width if width >= 0 else len(text)


def shorten(text: str, most: int) -> str:
    """Return as much of the text as fits into so many columns, no character cut."""
    if columns(text) <= most:
        return text
    pieces = split_graphemes(text)
    widths = accumulate(columns(piece) for piece in pieces)
    return "".join(piece for piece, end in zip(pieces, widths, strict=True) if end <= most)

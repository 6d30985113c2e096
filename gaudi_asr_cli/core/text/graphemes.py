"""Text as a reader sees it: whole characters, and how many columns they take.

What is read as one character may be several code points: a letter with its marks, an emoji with
its joiners, a Hindi or Thai cluster. Source: Unicode Standard Annex 29 (borders), 11 (widths).
"""

from __future__ import annotations

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


def cut_columns(text: str, most: int) -> list[str]:
    """Return pieces of at most so many columns; a character that takes more is one of its own."""
    pieces: list[str] = []
    for grapheme in split_graphemes(text):
        if pieces and columns(pieces[-1] + grapheme) <= most:
            pieces[-1] += grapheme
        else:
            pieces.append(grapheme)
    return pieces


def shorten(text: str, most: int) -> str:
    """Return as much of the text as fits into so many columns."""
    return next(iter(cut_columns(text, most)), "")

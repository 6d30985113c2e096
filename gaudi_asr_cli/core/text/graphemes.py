"""Grapheme clusters (user-perceived characters), and their width in columns.

A grapheme may be several code points: a letter with its marks, an emoji with its joiners, a Hindi
or Thai cluster. Source: Unicode Standard Annex 29 (boundaries), 11 (widths).
"""

from __future__ import annotations

import regex
from wcwidth import wcswidth

_GRAPHEME = regex.compile(r"\X")


def split_graphemes(text: str) -> list[str]:
    """Return the grapheme clusters of the text."""
    return list(_GRAPHEME.findall(text))


def columns(text: str) -> int:
    """Return the width of the text in a fixed-width font; East Asian letters take two columns."""
    # Negative where the text contains a control character.
    width = wcswidth(text)
    return width if width >= 0 else len(text)


def cut_columns(text: str, limit: int) -> list[str]:
    """Split text into pieces of at most `limit` columns; a wider grapheme is a piece of its own."""
    pieces: list[str] = []
    for grapheme in split_graphemes(text):
        if pieces and columns(pieces[-1] + grapheme) <= limit:
            pieces[-1] += grapheme
        else:
            pieces.append(grapheme)
    return pieces


def shorten(text: str, limit: int) -> str:
    """Return as much of the text as fits into `limit` columns."""
    return next(iter(cut_columns(text, limit)), "")

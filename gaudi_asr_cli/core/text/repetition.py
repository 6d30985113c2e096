"""Measure how repetitive a text is: its compression, and phrases that follow themselves."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

MAX_COMPRESSION = 2.4
"""Bytes of text over bytes compressed; transcripts of speech are below."""
MAX_PHRASE_WORDS = 8
"""Words in the longest phrase that is searched for."""
REPETITIVE_REPEATS = 4
"""So many repeats of a phrase in a row are repetitive."""


def is_repetitive(text: str) -> bool:
    """Return whether a text compresses too well, or repeats a phrase too often in a row."""
    return (
        compression_ratio(text) > MAX_COMPRESSION
        or count_repeats(text.split()) >= REPETITIVE_REPEATS
    )


def compression_ratio(text: str) -> float:
    """Return bytes of the text over its bytes compressed; 0 for an empty text."""
    encoded = text.encode()
    return len(encoded) / len(zlib.compress(encoded)) if encoded else 0.0


def count_repeats(words: Sequence[str]) -> int:
    """Return how often in a row the most repeated phrase of up to eight words occurs."""
    lengths = range(1, min(MAX_PHRASE_WORDS, len(words) // 2) + 1)
    return max((_longest_chain(words, length) for length in lengths), default=min(len(words), 1))


def _longest_chain(words: Sequence[str], length: int) -> int:
    """Return the same for one phrase length: a run of words equal to the ones `length` before."""
    run, longest = 0, 0
    for index in range(length, len(words)):
        run = run + 1 if words[index] == words[index - length] else 0
        longest = max(longest, run)
    return 1 + longest // length

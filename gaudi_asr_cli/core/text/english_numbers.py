"""Where Whisper's English normaliser reads a number that nobody wrote.

It takes the word o for a zero ("four o'clock" becomes "40 clock"), a second for an ordinal
("one second" becomes "12nd"), and writes neighbouring numbers as one ("two three" becomes "23").
Both texts are changed alike, so most of it does no harm; a score can lose or gain errors by it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cache
from itertools import pairwise
from typing import Any

from gaudi_asr_cli.core.text.normalizers import open_whisper_english

_NOT_NUMBERS = frozenset({"o", "oh", "double", "triple", "half"})
"""Words that become digits without being numbers; most also have another meaning."""


@dataclass(frozen=True, slots=True)
class OddNumber:
    """Words as they stood, and what became of them."""

    words: str
    became: str

    def __str__(self) -> str:
        return f'"{self.words}" becomes "{self.became}"'


def find_odd_numbers(text: str) -> tuple[OddNumber, ...]:
    """Return the places where words that are no number became digits, or numbers became one.

    Raises:
        MachineError: The package `whisper-normalizer` is not installed.
    """
    # The normaliser is slow, and most texts hold no number.
    if _numbers().words.isdisjoint(re.findall(r"[a-z]+", text.lower())):
        return ()
    before = _without_numbers()(text).split()
    after = open_whisper_english()(text).split()
    return tuple(
        # With the word that follows: "40 clock" says more than "40".
        OddNumber(" ".join(before[a : b + 1]), " ".join(after[c : d + 1]))
        for a, b, c, d in _changes(before, after)
        if _is_odd(before[a:b], after[c:d])
    )


def _changes(before: Sequence[str], after: Sequence[str]) -> Iterator[tuple[int, int, int, int]]:
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    for kind, a, b, c, d in matcher.get_opcodes():
        if kind == "replace":
            yield a, b, c, d


def _is_odd(words: Sequence[str], became: Sequence[str]) -> bool:
    """Judge one change: words that vanished into digits, or number words that became one."""
    if not any(character.isdigit() for word in became for character in word):
        return False
    if _NOT_NUMBERS & {*words} - {*became}:
        return True
    if words[0] == "point":
        return True
    pairs = pairwise(words)
    return len(became) < len(words) and any(_merges(*pair) for pair in pairs)


def _merges(first: str, second: str) -> bool:
    """Whether two neighbours are two numbers: not twenty-one, and no year (nineteen eighty)."""
    # An ordinal ends its number: "first two" stays two words.
    one, two = _value(first), _value(second)
    if one is None or two is None or first in _suffixed():
        return False
    is_compound = one >= 20 and one % 10 == 0 and 0 < two < 10
    is_year = 10 <= one <= 20 and two >= 20
    return not (is_compound or is_year)


@cache
def _value(word: str) -> int | None:
    """Return what a number word below a hundred, or a numeral, stands for."""
    numbers = _numbers()
    if word.isdecimal():
        return int(word)
    if word == "zero":
        return 0
    values = {**numbers.ones, **numbers.tens, **_suffixed()}
    value: int | None = values.get(word)
    return value


@cache
def _suffixed() -> dict[str, int]:
    """Return ordinals and plurals: `second`, `twenties`."""
    suffixed = {**_numbers().ones_suffixed, **_numbers().tens_suffixed}
    return {word: value for word, (value, _) in suffixed.items()}


def _numbers() -> Any:
    return open_whisper_english().standardize_numbers


@cache
def _without_numbers() -> Any:
    """Return the normaliser without its step for numbers."""
    plain = copy(open_whisper_english())
    plain.standardize_numbers = _tidy
    return plain


def _tidy(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()

"""Find texts in which Whisper's English normaliser reads a number that is none.

It takes the word o for a zero ("four o'clock" becomes "40 clock"), a second for an ordinal
("one second" becomes "12nd"), and writes neighbouring numbers as one ("two three" becomes "23").
Both texts are changed alike, so this is mostly harmless; a score can lose or gain errors by it.
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
    """Words of a text, and the digits they became."""

    words: str
    became: str

    def __str__(self) -> str:
        return f'"{self.words}" becomes "{self.became}"'


def find_odd_numbers(text: str) -> tuple[OddNumber, ...]:
    """Return words that are no number and became digits, and numbers that were merged into one.

    Raises:
        MachineError: The package `whisper-normalizer` is not installed.
    """
    # The normaliser is slow, and most texts contain no number.
    if _numbers().words.isdisjoint(re.findall(r"[a-z]+", text.lower())):
        return ()
    before = _without_numbers()(text).split()
    after = open_whisper_english()(text).split()
    return tuple(
        # With the following word: "40 clock" is clearer than "40".
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
    """Return whether a change is odd: words turned into digits, or number words merged into one."""
    if not any(character.isdigit() for word in became for character in word):
        return False
    if _NOT_NUMBERS & {*words} - {*became}:
        return True
    if words[0] == "point":
        return True
    pairs = pairwise(words)
    return len(became) < len(words) and any(_merges(*pair) for pair in pairs)


def _merges(first: str, second: str) -> bool:
    """Return whether two neighbours are two numbers: not twenty-one, no year (nineteen eighty)."""
    # An ordinal ends its number: "first two" remains two words.
    left, right = _value(first), _value(second)
    if left is None or right is None or first in _suffixed():
        return False
    is_compound = left >= 20 and left % 10 == 0 and 0 < right < 10
    is_year = 10 <= left <= 20 and right >= 20
    return not (is_compound or is_year)


@cache
def _value(word: str) -> int | None:
    """Return the value of a numeral or of a number word below a hundred."""
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
    """Return the normaliser without its number step."""
    plain = copy(open_whisper_english())
    plain.standardize_numbers = _single_spaced
    return plain


def _single_spaced(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()

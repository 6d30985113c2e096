"""Detect mixed scripts and look-alike characters in a text.

Both are mostly typing errors, and each adds a token that the model cannot learn: a Cyrillic a
among Latin letters sounds like every other a.
"""
# ruff: noqa: RUF001  # this file is about look-alike characters

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import regex

_LOOKALIKES = {
    # Cyrillic and Greek letters and the Latin ones of the same shape.
    **dict(zip("аеорсухіјѕԁԛԝһӏ", "aeopcyxijsdqwhl", strict=True)),
    **dict(zip("АВЕКМНОРСТУХІЈЅ", "ABEKMHOPCTYXIJS", strict=True)),
    **dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧο", "ABEZHIKMNOPTYXo", strict=True)),
    # Punctuation that keyboards and word processors interchange.
    **dict.fromkeys("\u2019\u2018\u02bc\u2032\u00b4`\u02b9", "'"),
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-"),
    **dict.fromkeys("\u201c\u201d\u201e\u00ab\u00bb", '"'),
}

_WRITTEN_TOGETHER = {
    **dict.fromkeys(("CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "HANGUL"), "EAST ASIAN"),
    **dict.fromkeys(("HALFWIDTH", "FULLWIDTH", "BOPOMOFO", "IDEOGRAPHIC"), "EAST ASIAN"),
}


_WITHOUT_SPACES = ("Han", "Hiragana", "Katakana", "Thai", "Lao", "Khmer", "Myanmar", "Tibetan")
"""Scripts without spaces between words, by Unicode's names."""
_UNSPACED = regex.compile(
    "|".join(rf"(?P<{name}>(?=\p{{L}})\p{{Script={name}}})" for name in _WITHOUT_SPACES)
)
_LETTER = regex.compile(r"\p{L}")


def name_character(character: str) -> str:
    """Return Unicode's name, or the code point where it has none; joined by + for a phoneme."""
    return " + ".join(unicodedata.name(sign, f"U+{ord(sign):04X}") for sign in character)


def code_point(character: str) -> str:
    """Return `U+200B ZERO WIDTH SPACE`, or the code point alone where it has no name."""
    return f"U+{ord(character):04X} {unicodedata.name(character, '')}".rstrip()


@dataclass(frozen=True, slots=True)
class UnspacedText:
    """Scripts without spaces in a text, most frequent first, and their share of all letters."""

    scripts: tuple[str, ...]
    share: float


def find_unspaced(texts: Iterable[str]) -> UnspacedText | None:
    """Return the scripts without spaces, if they are more than half of all letters.

    White space does not separate words in such texts, so a word error rate has little meaning.
    """
    counts: Counter[str] = Counter()
    letters = 0
    for text in texts:
        letters += len(_LETTER.findall(text))
        counts.update(found.lastgroup for found in _UNSPACED.finditer(text))
    if 2 * counts.total() <= letters:
        return None
    return UnspacedText(tuple(name for name, _ in counts.most_common()), counts.total() / letters)


def find_suspects(counts: Mapping[str, int]) -> tuple[str, ...]:
    """Return sentences about mixed scripts, look-alikes and invisible characters in the counts."""
    return (*_mixed_scripts(counts), *_lookalikes(counts), *_invisible(counts))


def _mixed_scripts(counts: Mapping[str, int]) -> list[str]:
    letters: Counter[str] = Counter()
    members: dict[str, list[str]] = {}
    for character, count in counts.items():
        script = _script_of(character)
        if script is not None:
            letters[script] += count
            members.setdefault(script, []).append(character)
    if len(letters) < 2:
        return []
    (main, main_count), *others = letters.most_common()
    return [
        f"Mixed scripts: {count} letters are {script} ({_show(members[script])}) "
        f"among {main_count} that are {main}."
        for script, count in others
    ]


def _script_of(character: str) -> str | None:
    """Return the script of a letter, from its Unicode name; None for marks and punctuation."""
    if unicodedata.category(character) not in ("Ll", "Lu", "Lt", "Lo"):
        return None
    script = unicodedata.name(character, "UNNAMED").split(" ")[0]
    return _WRITTEN_TOGETHER.get(script, script)


def _show(characters: list[str], limit: int = 10) -> str:
    more = f" and {len(characters) - limit} more" if len(characters) > limit else ""
    return " ".join(sorted(characters)[:limit]) + more


def _lookalikes(counts: Mapping[str, int]) -> list[str]:
    return [
        f"Look-alikes: {character!r} ({name_character(character)}, {counts[character]} times) is "
        f"displayed like {twin!r} ({name_character(twin)}, {counts[twin]} times)."
        for character, twin in _LOOKALIKES.items()
        if character in counts and twin in counts
    ]


def _invisible(counts: Mapping[str, int]) -> list[str]:
    return [
        f"Invisible: {name_character(character)} ({count} times) is not displayed."
        for character, count in counts.items()
        if unicodedata.category(character) in ("Cc", "Cf", "Co", "Cn") and not character.isspace()
    ]

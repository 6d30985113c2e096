"""Characters and their columns: which there are, and how text becomes labels."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache

from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.records import Vocabulary
from gaudi_asr_cli.core.text.rules import CaseRule, TextRules
from gaudi_asr_cli.core.text.tokenizer_files import (
    read_vocabulary,
    write_processor_files,
    write_tokenizer_files,
)

__all__ = [
    "build_vocabulary",
    "count_units",
    "count_unknown",
    "encode",
    "read_vocabulary",
    "suggest_case",
    "unknown_characters",
    "vocabulary_hash",
    "write_processor_files",
    "write_tokenizer_files",
]

_Encoder = tuple[re.Pattern[str], dict[str, int]]


def build_vocabulary(
    counts: Mapping[str, int],
    *,
    delimiter: str = "|",
    unknown: str = "[UNK]",
    blank: str = "[PAD]",
    min_count: int = 1,
    phonemes_of: str | None = None,
) -> Vocabulary:
    """A vocabulary of the characters that were counted at least `min_count` times.

    Columns: the word delimiter, the characters in code point order, unknown, blank. White space
    is never a token of its own: the delimiter stands for it. Phonemes of a language have no
    delimiter, because nobody hears where a word ends.

    Raises:
        DataError: No character is left, or one of the special tokens is also a character of the
            text, which would make two meanings share a column.
    """
    characters = sorted(
        token for token, count in counts.items() if count >= min_count and not token.isspace()
    )
    delimiters = (delimiter,) if phonemes_of is None else ()
    _check_tokens(characters, (*delimiters, unknown, blank))
    tokens = (*delimiters, *characters, unknown, blank)
    return Vocabulary(
        tokens=tokens,
        blank=len(tokens) - 1,
        delimiter=0 if delimiters else None,
        unknown=len(tokens) - 2,
        special=frozenset({len(tokens) - 1, len(tokens) - 2}),
        phonemes_of=phonemes_of,
    )


def count_units(texts: Iterable[str], *, phonemes: bool = False) -> Counter[str]:
    """How often each character occurs, white space apart, or each phoneme between spaces."""
    counts: Counter[str] = Counter()
    for text in texts:
        units = text.split()
        counts.update(units if phonemes else "".join(units))
    return counts


def _check_tokens(characters: list[str], specials: tuple[str, ...]) -> None:
    if not characters:
        raise DataError(
            "No character is left for the vocabulary.",
            remedy="Check that the data has text (--text-column), --strip-chars and --min-count.",
        )
    if len(set(specials)) < len(specials) or "" in specials:
        raise DataError(
            f"The special tokens {', '.join(map(repr, specials))} must differ and not be empty.",
            remedy="Give --word-delimiter-token, --unk-token and --pad-token different values.",
        )
    for token in sorted(set(specials).intersection(characters)):
        raise DataError(
            f"The text holds the character {token!r}, which is also a special token.",
            remedy=f"Strip it (--strip-chars {token!r}) or choose another special token, "
            "for example --word-delimiter-token.",
        )


def encode(vocabulary: Vocabulary, text: str) -> tuple[int, ...]:
    """Label ids of a cleaned text: white space is the delimiter, what is not known is unknown.

    The longest token wins where tokens of several characters exist; phonemes are told apart by
    spaces. Without a delimiter (languages written without spaces) spaces are skipped.

    Raises:
        DataError: A character is not in a vocabulary that has no unknown token.
    """
    pattern, columns = _encoder(vocabulary)
    ids: list[int] = []
    for match in pattern.finditer(" ".join(text.split())):
        column = _column_of(vocabulary, columns, match.group())
        if column is not None:
            ids.append(column)
    return tuple(ids)


def _column_of(vocabulary: Vocabulary, columns: dict[str, int], unit: str) -> int | None:
    if unit == " ":
        return vocabulary.delimiter
    column = columns.get(unit, vocabulary.unknown)
    if column is None:
        raise DataError(
            f"The character {unit!r} is not in the vocabulary, which has no unknown token.",
            remedy="Strip the character (--strip-chars) or build a vocabulary from this data.",
        )
    return column


@lru_cache(maxsize=8)
def _encoder(vocabulary: Vocabulary) -> _Encoder:
    """A pattern that cuts text into tokens, and the columns of those that text may hold."""
    columns = {
        token: column
        for column, token in enumerate(vocabulary.tokens)
        if column != vocabulary.delimiter and column not in vocabulary.special
    }
    if vocabulary.phonemes_of is not None:
        return re.compile(r"\S+"), columns
    longest_first = sorted((token for token in columns if len(token) > 1), key=len, reverse=True)
    pattern = "|".join([*map(re.escape, longest_first), "."])
    return re.compile(pattern, re.DOTALL), columns


def unknown_characters(vocabulary: Vocabulary, text: str) -> frozenset[str]:
    """The characters of `text` that `encode` would turn into the unknown token."""
    pattern, columns = _encoder(vocabulary)
    return frozenset(
        token for token in pattern.findall(text) if not token.isspace() and token not in columns
    )


def count_unknown(vocabulary: Vocabulary, texts: Iterable[str]) -> tuple[dict[str, int], int]:
    """How often the texts hold what `encode` would turn into the unknown token, commonest first.

    Returns:
        Counts by character (or phoneme), and how many of both kinds there are in all.
    """
    phonemes = vocabulary.phonemes_of is not None
    counts = count_units(texts, phonemes=phonemes)
    missing = unknown_characters(vocabulary, (" " if phonemes else "").join(counts))
    unknown = {unit: count for unit, count in counts.most_common() if unit in missing}
    return unknown, counts.total()


def suggest_case(vocabulary: Vocabulary, sample_text: str) -> CaseRule:
    """How to fold text so that the vocabulary knows most of it; `keep` where nothing is gained.

    Lower-case text against an upper-case vocabulary (wav2vec2-base-960h) would become nothing
    but unknown tokens, silently.
    """
    folds: tuple[CaseRule, ...] = ("keep", "lower", "upper")
    return max(folds, key=lambda case: _count_known(vocabulary, sample_text, case))


def _count_known(vocabulary: Vocabulary, text: str, case: CaseRule) -> int:
    pattern, columns = _encoder(vocabulary)
    return sum(token in columns for token in pattern.findall(TextRules(case=case).clean(text)))


def vocabulary_hash(vocabulary: Vocabulary) -> str:
    """A fingerprint of tokens and their meaning; a checkpoint keeps it, a resume compares it."""
    meaning = [
        vocabulary.tokens,
        vocabulary.blank,
        vocabulary.delimiter,
        vocabulary.unknown,
        sorted(vocabulary.special),
        # Appended, so that the fingerprints of characters stay what they were.
        *([vocabulary.phonemes_of] if vocabulary.phonemes_of is not None else []),
    ]
    return hashlib.sha256(json.dumps(meaning).encode()).hexdigest()

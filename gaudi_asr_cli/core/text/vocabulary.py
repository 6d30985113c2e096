"""CTC vocabularies: build them from text, and encode text as labels."""

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
from gaudi_asr_cli.core.text.subwords import alphabet_of, encode_subwords, normalize_subwords
from gaudi_asr_cli.core.text.tokenizer_files import (
    has_vocabulary,
    read_vocabulary,
    write_processor_files,
    write_tokenizer_files,
)

__all__ = [
    "build_vocabulary",
    "count_units",
    "count_unknown",
    "encode",
    "has_vocabulary",
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
    """Build a vocabulary of the characters that occur at least `min_count` times.

    Columns: the word delimiter, the characters in code point order, unknown, blank. White space
    is never a token: the delimiter represents it. A vocabulary of phonemes has no delimiter,
    because word boundaries are not audible.

    Raises:
        DataError: No character is left, or one of the special tokens is also a character of the
            text, so that one column would have two meanings.
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
    """Count each character except white space, or each phoneme between spaces."""
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
    """Encode a cleaned text as label ids: white space as delimiter, other characters as unknown.

    The longest token wins where tokens of several characters exist; phonemes are separated by
    spaces. Without a delimiter (languages written without spaces) spaces are skipped.

    Raises:
        DataError: A character is not in a vocabulary that has no unknown token.
    """
    if vocabulary.subwords is not None:
        tokens = encode_subwords(vocabulary.subwords, " ".join(text.split()))
        # A text may hold the name of the blank, which is no label.
        return tuple(column for column in tokens if column != vocabulary.blank)
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
    """Return a pattern that tokenises text, and the columns of tokens that may occur in text."""
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
    """Return the characters of `text` that `encode` would map to the unknown token."""
    if vocabulary.subwords is not None:
        alphabet = alphabet_of(vocabulary.subwords)
        written = normalize_subwords(vocabulary.subwords, text)
        return frozenset(
            one
            for one in written
            if alphabet is not None and not one.isspace() and one not in alphabet
        )
    pattern, columns = _encoder(vocabulary)
    return frozenset(
        token for token in pattern.findall(text) if not token.isspace() and token not in columns
    )


def count_unknown(vocabulary: Vocabulary, texts: Iterable[str]) -> tuple[dict[str, int], int]:
    """Count what `encode` would map to the unknown token in the texts, most frequent first.

    Returns:
        Counts by character (or phoneme), and the number of all characters, known and unknown.
    """
    phonemes = vocabulary.phonemes_of is not None
    counts = count_units(texts, phonemes=phonemes)
    missing = unknown_characters(vocabulary, (" " if phonemes else "").join(counts))
    unknown = {unit: count for unit, count in counts.most_common() if unit in missing}
    return unknown, counts.total()


def suggest_case(vocabulary: Vocabulary, sample_text: str) -> CaseRule:
    """Return the case rule under which most of the text is in the vocabulary; `keep` if equal.

    Lower-case text with an upper-case vocabulary (wav2vec2-base-960h) would silently become
    unknown tokens only.
    """
    folds: tuple[CaseRule, ...] = ("keep", "lower", "upper")
    return max(folds, key=lambda case: _count_known(vocabulary, sample_text, case))


def _count_known(vocabulary: Vocabulary, text: str, case: CaseRule) -> int:
    cleaned = TextRules(case=case).clean(text)
    if vocabulary.subwords is not None:
        unknown = unknown_characters(vocabulary, cleaned)
        return sum(one not in unknown for one in cleaned)
    pattern, columns = _encoder(vocabulary)
    return sum(token in columns for token in pattern.findall(cleaned))


def vocabulary_hash(vocabulary: Vocabulary) -> str:
    """Return a hash of tokens and their roles; checkpoints store it and resuming compares it."""
    meaning = [
        vocabulary.tokens,
        vocabulary.blank,
        vocabulary.delimiter,
        vocabulary.unknown,
        sorted(vocabulary.special),
        # Appended, so that hashes of character vocabularies do not change.
        *([vocabulary.phonemes_of] if vocabulary.phonemes_of is not None else []),
        *([vocabulary.subwords.definition] if vocabulary.subwords is not None else []),
    ]
    return hashlib.sha256(json.dumps(meaning).encode()).hexdigest()

"""Fit a language model and hotwords to the vocabulary of a CTC model."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from gaudi_asr_cli.core.decoding.lm.arpa import read_arpa
from gaudi_asr_cli.core.decoding.lm.ngram_model import BEGIN, END, UNKNOWN, NgramModel
from gaudi_asr_cli.core.decoding.prefix_scores import (
    DEFAULT_HOTWORD_WEIGHT,
    DEFAULT_LM_WEIGHT,
    DEFAULT_WORD_BONUS,
    PrefixScorer,
    build_word_trie,
    find_token_words,
)
from gaudi_asr_cli.core.decoding.word_tries import HotwordTable, WordTrie, build_hotwords
from gaudi_asr_cli.core.errors import DataError, MachineError, UsageError
from gaudi_asr_cli.core.records import Vocabulary
from gaudi_asr_cli.core.text.rules import CaseRule, TextRules
from gaudi_asr_cli.core.text.vocabulary import encode, suggest_case, unknown_characters

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LM_FOLDER = "language_model"
"""Folder of a model's language model, as transformers' Wav2Vec2ProcessorWithLM writes it."""
SPACE_NAMES = ("|", "<space>", "▁", "_")
"""Names of the word delimiter in models of characters."""
MAX_UNKNOWN_SHARE = 0.2
_SPECIAL = frozenset({BEGIN, END, UNKNOWN})
_SAMPLE = 2000
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class FittedScorer:
    """A scorer, and sentences on what of it does not fit the vocabulary."""

    scorer: PrefixScorer
    notes: tuple[str, ...]


def make_scorer(
    vocabulary: Vocabulary,
    *,
    lm: str | None = None,
    lm_weight: float | None = None,
    word_bonus: float | None = None,
    hotwords: Sequence[str] = (),
    hotword_weight: float | None = None,
) -> FittedScorer:
    """Make the scorer of a vocabulary.

    Raises:
        DataError: The language model is missing, broken, or shares no word with the vocabulary.
        MachineError: It is a binary file of KenLM.
        UsageError: No hotword can be written in the vocabulary.
    """
    if vocabulary.subwords is not None and (lm is not None or hotwords):
        raise UsageError(
            "The model writes subwords, which no language model of words and no hotwords score.",
            remedy="Leave --lm and --hotwords out, or use a CTC model that writes characters.",
        )
    delimiter = -1 if vocabulary.delimiter is None else vocabulary.delimiter
    found = None if lm is None else find_language_model(lm)
    weights = (None, None) if found is None else found.weights
    parts = _Parts(None, None, None, ())
    if found is not None:
        parts = _fit(_read_once(found.path), vocabulary, found.path)
    automaton, lost = _hotwords_of(vocabulary, hotwords)
    scorer = PrefixScorer(
        delimiter=delimiter,
        lm=parts.lm,
        trie=parts.trie,
        token_words=parts.token_words,
        hotwords=automaton,
        lm_weight=_first_given(lm_weight, weights[0], DEFAULT_LM_WEIGHT),
        word_bonus=_first_given(word_bonus, weights[1], DEFAULT_WORD_BONUS if lm else 0.0),
        hotword_weight=_first_given(hotword_weight, None, DEFAULT_HOTWORD_WEIGHT),
    )
    return FittedScorer(scorer, (*parts.notes, *lost))


def _first_given(given: float | None, stored: float | None, default: float) -> float:
    return next(one for one in (given, stored, default) if one is not None)


@dataclass(frozen=True, slots=True)
class FoundModel:
    """The file of a language model, and the weights that are stored beside it."""

    path: Path
    weights: tuple[float | None, float | None] = (None, None)


def find_language_model(name: str) -> FoundModel:
    """Find the ARPA file of a path: itself, or in a folder or its `language_model/`.

    Raises:
        DataError: There is none.
        MachineError: The folder holds only a binary file of KenLM.
    """
    path = Path(name).expanduser()
    if not path.exists():
        raise DataError(
            f"{name}: there is no such language model.",
            remedy="Give an ARPA file, or make one with `gaudi-asr lm TEXT --out FILE.arpa`.",
        )
    if not path.is_dir():
        return FoundModel(path)
    folder = path / LM_FOLDER if (path / LM_FOLDER).is_dir() else path
    files = sorted([*folder.glob("*.arpa"), *folder.glob("*.arpa.gz")])
    if len(files) == 1:
        return FoundModel(files[0], _read_weights(folder))
    if files:
        raise DataError(
            f"{folder}: {len(files)} ARPA files: {', '.join(one.name for one in files[:_SHOWN])}.",
            remedy="Name one of them with --lm.",
        )
    binaries = sorted(folder.glob("*.bin*"))
    if binaries:
        raise MachineError(
            f"{binaries[0]}: this is a binary file of KenLM, which only KenLM reads.",
            remedy="Put the ARPA file that it was built from (plain or .gz) into the folder.",
        )
    raise DataError(
        f"{folder}: there is no ARPA file (.arpa or .arpa.gz) in this folder.",
        remedy="Name the file with --lm, or make one with `gaudi-asr lm TEXT --out FILE.arpa`.",
    )


def _read_weights(folder: Path) -> tuple[float | None, float | None]:
    """Return pyctcdecode's alpha and beta, where `attrs.json` has them."""
    path = folder / "attrs.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None, None
    if not isinstance(values, dict):
        return None, None
    alpha, beta = (values.get(name) for name in ("alpha", "beta"))
    return (
        float(alpha) if isinstance(alpha, int | float) else None,
        float(beta) if isinstance(beta, int | float) else None,
    )


def _read_once(path: Path) -> NgramModel:
    """Read a model, or return it if it was read before and has not changed."""
    try:
        status = path.stat()
    except OSError:
        return read_arpa(path)
    return _read_version(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=2)
def _read_version(path: Path, changed_ns: int, size: int) -> NgramModel:
    return read_arpa(path)


@dataclass(frozen=True, slots=True)
class _Parts:
    lm: NgramModel | None
    trie: WordTrie | None
    token_words: NDArray[np.int32] | None
    notes: tuple[str, ...]


def _fit(lm: NgramModel, vocabulary: Vocabulary, path: Path) -> _Parts:
    """Choose words or tokens as the unit, and the case in which most words can be written."""
    words = [word for word in lm.vocabulary if word not in _SPECIAL]
    if _is_by_token(words, vocabulary):
        token_words = find_token_words(lm, _token_names(vocabulary))
        return _Parts(lm, None, token_words, ())
    sample = " ".join(words[:: max(1, len(words) // _SAMPLE)])
    case: CaseRule = "keep" if vocabulary.phonemes_of else suggest_case(vocabulary, sample)
    write = word_encoder(vocabulary, case)
    lost = [word for word in words if write(word) is None]
    if words and len(lost) == len(words):
        raise DataError(
            f"{path}: not one of its {len(words):,} words can be written in the model's "
            f"vocabulary; the first: {', '.join(map(repr, lost[:_SHOWN]))}.",
            remedy="Use a language model of the same language and alphabet as the model, "
            "or make one from its transcripts with `gaudi-asr lm`.",
        )
    trie = build_word_trie(lm, write)
    return _Parts(lm, trie, None, tuple(_note_lost(path, lost, len(words))))


def _note_lost(path: Path, lost: Sequence[str], words: int) -> Iterable[str]:
    if words and len(lost) / words > MAX_UNKNOWN_SHARE:
        yield (
            f"{path}: {len(lost) / words:.0%} of the {words:,} words of the language model have "
            f"characters that the model lacks, such as {', '.join(map(repr, lost[:_SHOWN]))}, "
            "and are never recognised: it is perhaps of another alphabet or not normalised."
        )


def _is_by_token(words: Sequence[str], vocabulary: Vocabulary) -> bool:
    """Return whether the words of a model are tokens: characters, phonemes, or all it can be."""
    if vocabulary.delimiter is None:
        return True
    names = {*vocabulary.tokens, *SPACE_NAMES}
    folded = {fold(name) for name in names for fold in (str.lower, str.upper)}
    return all(word in names or word in folded for word in words) and any(
        space in words for space in SPACE_NAMES
    )


def _token_names(vocabulary: Vocabulary) -> Iterable[tuple[str, ...]]:
    """Return the names of each token in a model of tokens, the most likely first."""
    for column, token in enumerate(vocabulary.tokens):
        if column == vocabulary.delimiter:
            yield (token, *SPACE_NAMES)
        else:
            yield (token, token.lower(), token.upper())


def word_encoder(vocabulary: Vocabulary, case: CaseRule) -> Callable[[str], tuple[int, ...] | None]:
    """Return a function that writes a word in tokens; None where the vocabulary lacks some."""
    rules = TextRules(case=case)

    def write(word: str) -> tuple[int, ...] | None:
        cleaned = rules.clean(word)
        if not cleaned or unknown_characters(vocabulary, cleaned):
            return None
        return encode(vocabulary, cleaned)

    return write


def _hotwords_of(
    vocabulary: Vocabulary, hotwords: Sequence[str]
) -> tuple[HotwordTable | None, tuple[str, ...]]:
    if not hotwords:
        return None, ()
    case: CaseRule = "keep"
    if vocabulary.phonemes_of is None:
        case = suggest_case(vocabulary, " ".join(hotwords))
    write = word_encoder(vocabulary, case)
    written = {word: write(word) for word in hotwords}
    lost = [word for word, tokens in written.items() if tokens is None]
    if len(lost) == len(written):
        raise UsageError(
            f"No hotword can be written in the model's vocabulary: "
            f"{', '.join(map(repr, lost[:_SHOWN]))}.",
            remedy="Write hotwords in the letters of the model: digits as words, no punctuation.",
        )
    table = build_hotwords(
        [tokens for tokens in written.values() if tokens],
        tokens=len(vocabulary.tokens),
        delimiter=-1 if vocabulary.delimiter is None else vocabulary.delimiter,
    )
    notes = (
        f"{len(lost)} of {len(written)} hotwords have characters that the model lacks and are left "
        f"out: {', '.join(map(repr, lost[:_SHOWN]))}."
    )
    return table, (notes,) if lost else ()


def read_hotwords(words: str) -> tuple[str, ...]:
    """Return the hotwords of `A,B`, or the lines of a file.

    Raises:
        UsageError: There is none.
        DataError: The file cannot be read.
    """
    path = Path(words).expanduser()
    if words and len(words) < os.pathconf("/", "PC_PATH_MAX") and path.is_file():
        listed = _read_lines(path)
    else:
        listed = words.split(",")
    found = tuple(dict.fromkeys(word for one in listed if (word := " ".join(one.split()))))
    if not found:
        raise UsageError(
            f"There is no hotword in {words!r}.",
            remedy="Give words between commas (--hotwords Habana,Gaudi), or a file with one on "
            "each line.",
        )
    return found


def _read_lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: the hotwords cannot be read: {error}.",
            remedy="Give a text file in UTF-8 with one hotword on each line.",
        ) from None

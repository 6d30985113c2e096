"""`lm`: estimate an n-gram language model of text, in an ARPA file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from gaudi_asr_cli.core.data.sources import ReadOptions
from gaudi_asr_cli.core.data.text_lines import read_sentences
from gaudi_asr_cli.core.decoding.lm.arpa import write_arpa
from gaudi_asr_cli.core.decoding.lm.kneser_ney import Estimate, estimate_kneser_ney
from gaudi_asr_cli.core.decoding.lm.ngram_model import (
    BEGIN,
    END,
    UNKNOWN,
    NgramModel,
    Perplexity,
    measure_perplexity,
)
from gaudi_asr_cli.core.errors import DataError, UsageError
from gaudi_asr_cli.core.events import (
    Noticed,
    Observer,
    StageAdvanced,
    StageFinished,
    StageStarted,
    ignore,
)
from gaudi_asr_cli.core.text.rules import TextRules

LmUnit = Literal["word", "character"]
MAX_ORDER = 10
SPACE = "|"
"""A space in a model of characters."""
_SPECIAL = frozenset({BEGIN, END, UNKNOWN})
_STAGE = "counting n-grams"
_PROGRESS_EVERY = 100_000


@dataclass(frozen=True, slots=True)
class LmRequest:
    """The text, the model's order, and what is kept of it.

    `min_count` is the fewest occurrences of a word that is known; `prune` those of n-grams of
    order 2, 3 and so on, the last for the orders above; `held_out` is text for the perplexity.
    """

    sources: tuple[str, ...]
    out: Path
    order: int = 3
    unit: LmUnit = "word"
    read: ReadOptions = field(default_factory=ReadOptions)
    rules: TextRules = field(default_factory=TextRules)
    min_count: int = 1
    prune: tuple[int, ...] = ()
    held_out: tuple[str, ...] = ()
    overwrite: bool = False


@dataclass(frozen=True, slots=True)
class LmReport:
    """The size of the model, and its perplexity on held-out text, if there is some."""

    out: Path
    order: int
    ngrams: tuple[int, ...]
    vocabulary: int
    sentences: int
    words: int
    perplexity: Perplexity | None

    def to_json(self) -> dict[str, Any]:
        found = self.perplexity
        return {
            "schema": "lm/1",
            "order": self.order,
            "ngrams": list(self.ngrams),
            "vocabulary": self.vocabulary,
            "sentences": self.sentences,
            "words": self.words,
            "perplexity": None if found is None else found.perplexity,
            "perplexity_known": None if found is None else found.perplexity_known,
            "held_out_words": None if found is None else found.words,
            "held_out_unknown": None if found is None else found.unknown,
            "out": str(self.out),
        }


def make_language_model(request: LmRequest, observe: Observer = ignore) -> LmReport:
    """Estimate a model and write it.

    Raises:
        UsageError: The order or a count makes no sense, or the output exists.
        DataError: There is no text, or a source is broken.
        UnreachableError: A hub dataset cannot be reached.
    """
    _check(request)
    vocabulary = _known_words(request) if request.min_count > 1 else None
    observe(StageStarted(_STAGE, unit="sentences"))
    sentences = _follow(_split(request.sources, request), observe)
    estimate = estimate_kneser_ney(
        sentences, request.order, min_counts=request.prune, vocabulary=vocabulary
    )
    observe(StageFinished(_STAGE, 0.0))
    if not estimate.words:
        raise DataError(
            f"There is no text in {', '.join(request.sources)}.",
            remedy="Give a text file with a sentence on each line, or data with transcripts.",
        )
    _note_fallbacks(estimate, observe)
    perplexity = None
    if request.held_out:
        held_out = _split(request.held_out, request)
        perplexity = measure_perplexity(estimate.model, held_out)
        _require_held_out(perplexity, request)
    write_arpa(estimate.model, request.out)
    return _report(request, estimate, perplexity)


def _check(request: LmRequest) -> None:
    if not 1 <= request.order <= MAX_ORDER:
        raise UsageError(
            f"--order {request.order} is no length of n-grams.",
            remedy=f"Choose 1 to {MAX_ORDER}; 3 for words and 6 for characters are usual.",
        )
    if list(request.prune) != sorted(request.prune):
        raise UsageError(
            "--prune must not fall: an n-gram needs its shorter ones.",
            remedy="For example --prune 1,2 keeps all pairs, and triples that occur twice.",
        )
    if request.out.exists() and not request.overwrite:
        raise UsageError(
            f"{request.out} exists already.", remedy="Choose another --out, or pass --overwrite."
        )


def _split(sources: Sequence[str], request: LmRequest) -> Iterator[Sequence[str]]:
    for text in read_sentences(sources, request.read):
        cleaned = request.rules.clean(text)
        # The marks of a model are no words of a text.
        words = [word for word in cleaned.split() if word not in _SPECIAL]
        if words:
            yield words if request.unit == "word" else list(SPACE.join(words))


def _known_words(request: LmRequest) -> set[str]:
    counts: Counter[str] = Counter()
    for words in _split(request.sources, request):
        counts.update(words)
    return {word for word, count in counts.items() if count >= request.min_count}


def _follow(sentences: Iterable[Sequence[str]], observe: Observer) -> Iterator[Sequence[str]]:
    for number, sentence in enumerate(sentences, 1):
        if number % _PROGRESS_EVERY == 0:
            observe(StageAdvanced(_STAGE, number))
        yield sentence


def _note_fallbacks(estimate: Estimate, observe: Observer) -> None:
    if estimate.fallbacks:
        orders = ", ".join(map(str, estimate.fallbacks))
        observe(
            Noticed(
                f"The text is too small or too regular to estimate the discounts of order {orders}:"
                " 0.5, 1 and 1.5 are used.",
                remedy="More text gives a better model.",
            )
        )


def _require_held_out(perplexity: Perplexity, request: LmRequest) -> None:
    if not perplexity.words:
        raise DataError(
            f"There is no text in {', '.join(request.held_out)}, the held-out text.",
            remedy="Give a text file with a sentence on each line, or data with transcripts.",
        )


def _report(request: LmRequest, estimate: Estimate, perplexity: Perplexity | None) -> LmReport:
    model: NgramModel = estimate.model
    return LmReport(
        out=request.out,
        order=model.order,
        ngrams=model.count_ngrams(),
        vocabulary=len(model.vocabulary) - len(_SPECIAL),
        sentences=estimate.sentences,
        words=estimate.words,
        perplexity=perplexity,
    )

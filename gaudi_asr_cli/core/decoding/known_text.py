"""A decoder of known texts: it finds when each word was said, and how well the text fits."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from gaudi_asr_cli.core.decoding.forced_alignment import TokenAlignment, align_tokens
from gaudi_asr_cli.core.decoding.greedy import BestFrames, GreedyDecoder, Runs, with_pauses
from gaudi_asr_cli.core.decoding.scorer_setup import word_encoder
from gaudi_asr_cli.core.decoding.token_frames import TokenFrames, condense_frames, join_frames
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.records import Emissions, Transcript, Utterance, Vocabulary
from gaudi_asr_cli.core.text.rules import CaseRule, TextRules
from gaudi_asr_cli.core.text.vocabulary import suggest_case, unknown_characters

if TYPE_CHECKING:
    from numpy.typing import NDArray

WORST_S = 0.4
"""Length of the worst stretch: of 50 planted errors of one word in 500 noisy utterances of up to 20
words, 49 were among its 60 lowest scores, 41 among those of whole utterances."""
LOWEST_LOG_PROB = -9.0
"""Tokens of known texts are kept at a lower probability than a search would follow."""
_SPOKEN = "LMN"


@dataclass(frozen=True, slots=True)
class TextFit:
    """How well a text fits its audio.

    `score` is the log probability of the text less that of the most likely tokens, for each word;
    0 where they are the same. `worst_score` is the lowest of any `WORST_S` of the audio.
    `hypothesis` is the text of the most likely tokens.
    """

    score: float
    worst_score: float
    hypothesis: str


@dataclass(frozen=True)
class KnownTextDecoder:
    """Aligns the text of each utterance to its audio.

    Case follows the vocabulary, and punctuation that it lacks is ignored; the words of the
    transcript are written as in the text.

    Args:
        vocabulary: Tokens of the model.
        case: The case of the vocabulary.
        fits: Filled with the fit of each utterance that could be aligned, by id.
    """

    vocabulary: Vocabulary
    case: CaseRule = "keep"
    fits: dict[str, TextFit] = field(default_factory=dict)

    def decode(self, emissions: Emissions, index: int, utterance: Utterance) -> Transcript:
        """Align one row of the batch."""
        return self.assemble([self.condense(emissions, index)], utterance)

    def condense(self, emissions: Emissions, index: int) -> TokenFrames:
        """Reduce one row of the batch to the likely tokens of each frame."""
        log_probs = emissions.log_probs[index, : int(emissions.frames[index])]  # (F, V)
        return condense_frames(log_probs, self.vocabulary, emissions.frame_s, LOWEST_LOG_PROB)

    def assemble(self, parts: Sequence[TokenFrames], utterance: Utterance) -> Transcript:
        """Align the text of an utterance to consecutive parts of it.

        Raises:
            DataError: The text cannot be written in the vocabulary, has no letter of it, or is
                longer than the audio.
        """
        frames = join_frames(parts)
        words, written = self.write(utterance.text or "")
        if not words:
            raise DataError(
                "its text has no letter that the model knows.",
                remedy="Correct the text, or leave the utterance out.",
            )
        tokens = self._join(written)
        delimiter = -1 if self.vocabulary.delimiter is None else self.vocabulary.delimiter
        aligned = align_tokens(frames, tokens, delimiter=delimiter)
        if aligned is None:
            seconds = len(frames) * frames.frame_s
            raise DataError(
                f"its text is longer than its audio: {len(tokens)} letters in {len(frames)} frames "
                f"({seconds:.2f} s); check that it belongs to this audio.",
                remedy="Correct the text, or leave the utterance out.",
            )
        best, best_log_probs = _find_best(frames, self.vocabulary.blank)
        scores = aligned.path_log_probs - best_log_probs
        self.fits[utterance.id] = TextFit(
            score=float(scores.sum()) / max(len(words), 1),
            worst_score=_lowest_sum(scores, max(1, round(WORST_S / frames.frame_s))),
            hypothesis=GreedyDecoder(self.vocabulary).assemble([best], utterance).text,
        )
        return self._transcribe(frames, tokens, aligned, words, utterance)

    def write(self, text: str) -> tuple[list[str], list[tuple[int, ...]]]:
        """Return the words that can be spoken, and their tokens.

        Raises:
            DataError: A word has letters or digits that the vocabulary lacks.
        """
        encode = word_encoder(self.vocabulary, self.case)
        words, written = [], []
        for word in text.split():
            missing = unknown_characters(self.vocabulary, _fold(word, self.case))
            spoken = sorted(one for one in missing if unicodedata.category(one[0])[0] in _SPOKEN)
            if spoken:
                raise _cannot_write(word, spoken, self.vocabulary.phonemes_of)
            tokens = encode("".join(one for one in _fold(word, self.case) if one not in missing))
            if tokens:
                words.append(word)
                written.append(tokens)
        return words, written

    def _join(self, written: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
        delimiter = self.vocabulary.delimiter
        between = () if delimiter is None else (delimiter,)
        joined = [token for tokens in written for token in (*tokens, *between)]
        return tuple(joined[:-1] if between else joined)

    def _transcribe(
        self,
        frames: TokenFrames,
        tokens: tuple[int, ...],
        aligned: TokenAlignment,
        words: Sequence[str],
        utterance: Utterance,
    ) -> Transcript:
        delimiter = -1 if self.vocabulary.delimiter is None else self.vocabulary.delimiter
        runs = Runs(np.asarray(tokens, np.int64), aligned.starts, aligned.ends)
        found = GreedyDecoder(self.vocabulary, characters=True).transcribe_runs(
            with_pauses(runs, frames, delimiter),
            aligned.probabilities(len(frames)),
            frames.frame_s,
            utterance,
        )
        return _named(found, words)


def _named(found: Transcript, words: Sequence[str]) -> Transcript:
    """Return the transcript with its words as they are written in the text."""
    if len(found.words) != len(words):
        # Without a delimiter the text is one word.
        return replace(found, text=" ".join(words))
    named = (replace(one, word=word) for one, word in zip(found.words, words, strict=True))
    return replace(found, text=" ".join(words), words=tuple(named))


def _fold(word: str, case: CaseRule) -> str:
    return TextRules(case=case).clean(word)


def _cannot_write(word: str, missing: Sequence[str], phonemes_of: str | None) -> DataError:
    shown = ", ".join(map(repr, missing))
    if phonemes_of is not None:
        return DataError(
            f"its text is pronounced with phonemes that the model lacks: {shown} ({phonemes_of}).",
            remedy="Use a model of this language, or leave the utterance out.",
        )
    if all(one.isdigit() for one in missing):
        return DataError(
            f"its text has digits ({word!r}), and the model has none: write numbers as the "
            "words that are spoken.",
            remedy="Correct the text, or leave the utterance out.",
        )
    return DataError(
        f"its text has characters that the model lacks: {shown} in {word!r}; use a model of this "
        "language, or write the text in the model's letters.",
        remedy="Correct the text, or leave the utterance out.",
    )


def _find_best(frames: TokenFrames, blank: int) -> tuple[BestFrames, NDArray[np.float64]]:
    """Return the most likely token of each frame, and its log probability (F,)."""
    numbers = np.repeat(np.arange(len(frames)), np.diff(frames.first))
    tokens = np.full(len(frames), blank, np.int64)
    log_probs = frames.blanks.astype(np.float64)
    # The last of each frame is its most likely.
    rising = np.lexsort((frames.log_probs, numbers))
    likely = rising[np.append(numbers[1:] != numbers[:-1], True)] if len(numbers) else rising
    better = frames.log_probs[likely] > log_probs[numbers[likely]]
    chosen = likely[better]
    tokens[numbers[chosen]] = frames.tokens[chosen]
    log_probs[numbers[chosen]] = frames.log_probs[chosen]
    probabilities = np.exp(log_probs).astype(np.float32)
    return BestFrames(tokens, probabilities, frames.frame_s), log_probs


def _lowest_sum(scores: NDArray[np.float64], window: int) -> float:
    """Return the lowest sum of `window` consecutive scores, or of all if they are fewer."""
    sums = np.append(0.0, np.cumsum(scores))
    if len(scores) <= window:
        return float(sums[-1])
    return float((sums[window:] - sums[:-window]).min())


def make_known_text_decoder(vocabulary: Vocabulary, texts: Sequence[str]) -> KnownTextDecoder:
    """Make the decoder for texts of one case."""
    sample = " ".join(texts)
    case: CaseRule = "keep" if vocabulary.phonemes_of else suggest_case(vocabulary, sample)
    return KnownTextDecoder(vocabulary, case)

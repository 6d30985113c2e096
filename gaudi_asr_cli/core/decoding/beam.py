"""Beam search over a CTC model's output, with a language model and hotwords."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from gaudi_asr_cli.core.decoding.base import DecoderSpec
from gaudi_asr_cli.core.decoding.fast_search import choose_search
from gaudi_asr_cli.core.decoding.forced_alignment import align_tokens
from gaudi_asr_cli.core.decoding.greedy import GreedyDecoder, Runs, with_pauses
from gaudi_asr_cli.core.decoding.prefix_scores import PrefixScorer
from gaudi_asr_cli.core.decoding.prefix_search import SearchResult, search_prefixes
from gaudi_asr_cli.core.decoding.scorer_setup import make_scorer
from gaudi_asr_cli.core.decoding.token_frames import TokenFrames, condense_frames, join_frames
from gaudi_asr_cli.core.records import Alternative, Emissions, Transcript, Utterance, Vocabulary

DEFAULT_BEAM_SIZE = 100
MAX_THREADS = 4
"""Utterances of a batch that are decoded at once, where the search is compiled."""


@dataclass(frozen=True)
class BeamDecoder:
    """Searches for the text with the best score, summed over all its alignments.

    Words are timed by aligning the best text to the audio.

    Args:
        vocabulary: Tokens of the model.
        scorer: Language model, word bonus and hotwords.
        beam_size: Maximum number of hypotheses after a frame.
        n_best: Number of texts to return; 1 returns no alternatives.
        timed: Time words.
        characters: Time the characters of words too.
        notes: Sentences on how the language model fits the vocabulary.
    """

    vocabulary: Vocabulary
    scorer: PrefixScorer
    beam_size: int = DEFAULT_BEAM_SIZE
    n_best: int = 1
    timed: bool = True
    characters: bool = False
    notes: tuple[str, ...] = ()

    @property
    def threads(self) -> int:
        """Return how many utterances are decoded at once: the search in Python gains nothing."""
        compiled = choose_search() is not search_prefixes
        return min(MAX_THREADS, os.cpu_count() or 1) if compiled else 1

    @cached_property
    def _letters(self) -> GreedyDecoder:
        return GreedyDecoder(self.vocabulary, self.characters)

    def decode(self, emissions: Emissions, index: int, utterance: Utterance) -> Transcript:
        """Decode one row of the batch to text, words timed on the file's clock, and confidences."""
        return self.assemble([self.condense(emissions, index)], utterance)

    def condense(self, emissions: Emissions, index: int) -> TokenFrames:
        """Reduce one row of the batch to the likely tokens of each frame."""
        log_probs = emissions.log_probs[index, : int(emissions.frames[index])]  # (F, V)
        return condense_frames(log_probs, self.vocabulary, emissions.frame_s)

    def assemble(self, parts: Sequence[TokenFrames], utterance: Utterance) -> Transcript:
        """Decode consecutive parts, such as the chunks of a long file, to one transcript."""
        frames = join_frames(parts)
        results = self.search(frames)
        transcript = self._transcribe(frames, results[0], utterance)
        if self.n_best == 1:
            return transcript
        return _with_alternatives(
            transcript,
            [Alternative(self._letters.text_of(one.tokens), one.score) for one in results],
        )

    def search(self, frames: TokenFrames) -> list[SearchResult]:
        """Return the best texts as tokens, the best first."""
        return choose_search()(frames, self.scorer, beam_size=self.beam_size, n_best=self.n_best)

    def _transcribe(
        self, frames: TokenFrames, best: SearchResult, utterance: Utterance
    ) -> Transcript:
        if not self.timed:
            return Transcript(utterance.id, self._letters.text_of(best.tokens))
        aligned = align_tokens(frames, best.tokens, delimiter=self.scorer.delimiter)
        assert aligned is not None  # noqa: S101 - the search found the text in these frames
        runs = Runs(np.asarray(best.tokens, np.int64), aligned.starts, aligned.ends)
        runs = with_pauses(runs, frames, self.scorer.delimiter)
        probabilities = aligned.probabilities(len(frames))
        return self._letters.transcribe_runs(runs, probabilities, frames.frame_s, utterance)


def _with_alternatives(transcript: Transcript, texts: Sequence[Alternative]) -> Transcript:
    return replace(transcript, n_best=tuple(texts))


def make_beam_decoder(
    vocabulary: Vocabulary,
    *,
    beam_size: int = DEFAULT_BEAM_SIZE,
    n_best: int = 1,
    characters: bool = False,
    untimed: bool = False,
    **scoring: object,
) -> BeamDecoder:
    """Make the decoder of a vocabulary; `scoring` are the options of `make_scorer`."""
    fitted = make_scorer(vocabulary, **scoring)  # type: ignore[arg-type]
    return BeamDecoder(
        vocabulary=vocabulary,
        scorer=fitted.scorer,
        beam_size=beam_size,
        n_best=n_best,
        timed=not untimed,
        characters=characters,
        notes=fitted.notes,
    )


BEAM = DecoderSpec(
    make_beam_decoder,
    options=(
        *("characters", "untimed", "beam_size", "n_best", "lm", "lm_weight", "word_bonus"),
        *("hotwords", "hotword_weight"),
    ),
)

"""Choose the weights of a language model on a development set: `eval-ctc --tune-lm`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import yaml

from gaudi_asr_cli.core.decoding.beam import BeamDecoder
from gaudi_asr_cli.core.decoding.token_frames import TokenFrames, join_frames
from gaudi_asr_cli.core.errors import DataError, UsageError
from gaudi_asr_cli.core.evaluation.comparison import TextComparison
from gaudi_asr_cli.core.evaluation.utterances import score_utterance
from gaudi_asr_cli.core.events import Observer, StageAdvanced, StageFinished, StageStarted, ignore
from gaudi_asr_cli.core.inference.recognizer import Recognizer
from gaudi_asr_cli.core.inference.transcribe import transcribe
from gaudi_asr_cli.core.records import Emissions, Transcript, Utterance

LM_WEIGHTS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0, 3.0)
WORD_BONUSES = (-4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 5.0)
_STAGE = "tuning the language model"


@dataclass(frozen=True, slots=True)
class TunedWeights:
    """The best weights on the development set, and its WER with them and without the model."""

    lm_weight: float
    word_bonus: float
    wer: float
    wer_without: float
    utterances: int

    def to_json(self) -> dict[str, Any]:
        return {
            "lm_weight": self.lm_weight,
            "word_bonus": self.word_bonus,
            "wer": self.wer,
            "wer_without": self.wer_without,
            "utterances": self.utterances,
        }

    def to_recipe(self, model: str, lm: str, beam_size: int) -> str:
        """Return a recipe of `eval-ctc` that decodes with these weights."""
        values = {
            "kind": "eval-ctc",
            "model": model,
            "lm": lm,
            "lm_weight": self.lm_weight,
            "word_bonus": self.word_bonus,
            "beam_size": beam_size,
        }
        tuned = f"# Tuned on {self.utterances} utterances: WER {self.wer:.2%}, without the "
        text: str = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
        return f"{tuned}language model {self.wer_without:.2%}.\n{text}"


def tune_weights(
    recognizer: Recognizer,
    utterances: Sequence[Utterance],
    comparison: TextComparison,
    observe: Observer = ignore,
) -> TunedWeights:
    """Try all pairs of `LM_WEIGHTS` and `WORD_BONUSES`; the network runs once.

    Of pairs with equally many errors the one with the smallest weights is taken.

    Raises:
        UsageError: The recogniser has no language model.
        DataError: No utterance could be transcribed.
    """
    decoder = recognizer.decoder
    if not isinstance(decoder, BeamDecoder) or decoder.scorer.lm is None:
        raise UsageError(
            "There is no language model to tune.", remedy="Give one with --lm FILE, too."
        )
    collector = _Collector(decoder)
    collecting: Any = recognizer
    observe(StageStarted(_STAGE, total=len(LM_WEIGHTS) * len(WORD_BONUSES), unit="settings"))
    for _ in transcribe(replace(collecting, decoder=collector), utterances):
        pass
    collected = [one for one in utterances if one.id in collector.frames]
    if not collected:
        raise DataError(
            "None of the utterances of --tune-lm could be transcribed.",
            remedy="Try one of them with `gaudi-asr infer`.",
        )
    counted = []
    for done, (weight, bonus) in enumerate(_settings(), 1):
        tuned = replace(decoder, scorer=replace(
            decoder.scorer, lm_weight=weight, word_bonus=bonus
        ), timed=False, n_best=1)  # fmt: skip
        counted.append((_rate(tuned, collected, collector, comparison), abs(bonus), weight, bonus))
        observe(StageAdvanced(_STAGE, done))
    observe(StageFinished(_STAGE, 0.0))
    wer, _, lm_weight, word_bonus = min(counted, key=lambda one: (one[0], one[2] + one[1]))
    without = next(one[0] for one in counted if one[2:] == (0.0, 0.0))
    return TunedWeights(lm_weight, word_bonus, wer, without, len(collected))


def _settings() -> Iterator[tuple[float, float]]:
    return ((weight, bonus) for weight in LM_WEIGHTS for bonus in WORD_BONUSES)


def _rate(
    decoder: BeamDecoder,
    utterances: Sequence[Utterance],
    collector: _Collector,
    comparison: TextComparison,
) -> float:
    """Return the word error rate with a decoder."""
    errors = words = 0
    for utterance in utterances:
        text = decoder.assemble([collector.frames[utterance.id]], utterance).text
        counts = score_utterance(utterance, text, comparison.normalize, duration_s=0.0).words
        errors, words = errors + counts.errors, words + counts.reference_length
    return errors / max(words, 1)


class _Collector:
    """A decoder that keeps the frames of each utterance instead of decoding them."""

    def __init__(self, decoder: BeamDecoder) -> None:
        self._decoder = decoder
        self.frames: dict[str, TokenFrames] = {}

    def decode(self, emissions: Emissions, index: int, utterance: Utterance) -> Transcript:
        return self.assemble([self.condense(emissions, index)], utterance)

    def condense(self, emissions: Emissions, index: int) -> TokenFrames:
        return self._decoder.condense(emissions, index)

    def assemble(self, parts: Sequence[TokenFrames], utterance: Utterance) -> Transcript:
        self.frames[utterance.id] = join_frames(parts)
        return Transcript(utterance.id, "")

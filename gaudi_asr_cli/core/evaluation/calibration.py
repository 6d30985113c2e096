"""Calibration: how often words of a given confidence are correct."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gaudi_asr_cli.core.evaluation.counts import align
from gaudi_asr_cli.core.evaluation.predictions import Prediction

CONFIDENCE_BINS = 10


@dataclass(frozen=True, slots=True)
class ConfidenceBin:
    """Words with a confidence from `low` to `high`: their number, mean confidence and accuracy."""

    low: float
    high: float
    words: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """The bins that hold words; `error` is the expected calibration error.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks". `left_out` counts
    utterances whose normalised hypothesis has other words than the confidences are of.
    """

    bins: tuple[ConfidenceBin, ...]
    error: float
    words: int
    left_out: int


def measure_calibration(predictions: Sequence[Prediction]) -> Calibration | None:
    """Return the calibration of the words' confidences; None if there are none."""
    found: list[tuple[float, bool]] = []
    left_out = 0
    for one in predictions:
        hypothesis = one.hypothesis.split()
        if not one.confidences:
            continue
        if len(hypothesis) != len(one.confidences):
            left_out += 1
            continue
        correct = _find_correct(one.reference.split(), hypothesis)
        pairs = zip(one.confidences, correct, strict=True)
        found += [(min(max(value, 0.0), 1.0), hit) for value, hit in pairs if value is not None]
    if not found:
        return None
    members: list[list[tuple[float, bool]]] = [[] for _ in range(CONFIDENCE_BINS)]
    for value, hit in found:
        members[min(int(value * CONFIDENCE_BINS), CONFIDENCE_BINS - 1)].append((value, hit))
    bins = tuple(_summarize(number, words) for number, words in enumerate(members) if words)
    error = sum(one.words * abs(one.confidence - one.accuracy) for one in bins) / len(found)
    return Calibration(bins, error, len(found), left_out)


def _find_correct(reference: Sequence[str], hypothesis: Sequence[str]) -> list[bool]:
    correct = [False] * len(hypothesis)
    for chunk in align(reference, hypothesis).alignments[0]:
        if chunk.type == "equal":
            number = chunk.hyp_end_idx - chunk.hyp_start_idx
            correct[chunk.hyp_start_idx : chunk.hyp_end_idx] = [True] * number
    return correct


def _summarize(number: int, words: Sequence[tuple[float, bool]]) -> ConfidenceBin:
    return ConfidenceBin(
        low=number / CONFIDENCE_BINS,
        high=(number + 1) / CONFIDENCE_BINS,
        words=len(words),
        confidence=sum(value for value, _ in words) / len(words),
        accuracy=sum(hit for _, hit in words) / len(words),
    )

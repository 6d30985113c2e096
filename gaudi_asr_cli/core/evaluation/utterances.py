"""Score one utterance: raw texts, normalised texts, and their error counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gaudi_asr_cli.core.evaluation.counts import count_errors
from gaudi_asr_cli.core.records import ErrorCounts, ScoredUtterance, Utterance


def score_utterance(
    utterance: Utterance,
    hypothesis: str,
    normalize: Callable[[str], str],
    *,
    duration_s: float | None = None,
) -> ScoredUtterance:
    """Compare a hypothesis with its reference, both raw and after `normalize`.

    Words are separated by white space; characters are those of the words joined by single
    spaces, spaces included. An utterance without text has an empty reference.

    Args:
        utterance: The utterance; its `text` is the raw reference.
        hypothesis: The raw hypothesis, as decoded.
        normalize: Applied to both sides.
        duration_s: Length of the audio in seconds; that of the utterance by default.
    """
    raw_reference = utterance.text or ""
    reference = _single_spaced(normalize(raw_reference))
    normalized = _single_spaced(normalize(hypothesis))
    seconds = utterance.audio.duration_s if duration_s is None else duration_s
    return ScoredUtterance(
        id=utterance.id,
        path=str(utterance.audio.path),
        reference=reference,
        hypothesis=normalized,
        raw_reference=raw_reference,
        raw_hypothesis=hypothesis,
        words=count_words(reference, normalized),
        characters=count_errors(reference, normalized),
        raw_words=count_words(raw_reference, hypothesis),
        raw_characters=count_errors(_single_spaced(raw_reference), _single_spaced(hypothesis)),
        duration_s=seconds or 0.0,
        speaker=utterance.speaker,
    )


def count_words(reference: str, hypothesis: str) -> ErrorCounts:
    """Count the word errors between two texts."""
    return count_errors(reference.split(), hypothesis.split())


def _single_spaced(text: str) -> str:
    return " ".join(text.split())


def prediction_json(scored: ScoredUtterance) -> dict[str, Any]:
    """Return a line of predictions.jsonl, from which the word error rate can be recomputed."""
    return {
        "id": scored.id,
        "path": scored.path,
        "reference": scored.reference,
        "hypothesis": scored.hypothesis,
        "raw_reference": scored.raw_reference,
        "raw_hypothesis": scored.raw_hypothesis,
        "hits": scored.words.hits,
        "substitutions": scored.words.substitutions,
        "deletions": scored.words.deletions,
        "insertions": scored.words.insertions,
        "duration_s": scored.duration_s,
        "speaker": scored.speaker,
    }

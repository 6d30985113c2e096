"""One utterance's account: texts as written, texts as scored, and their error counts."""

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
    """Compare what was heard with what was said, as written and after `normalize`.

    Words are what white space separates; characters are those of the words joined by single
    spaces, spaces included. An utterance without text counts as an empty reference.

    Args:
        utterance: What was said; its `text` is the raw reference.
        hypothesis: What was heard, as decoded.
        normalize: Applied to both sides alike.
        duration_s: Length of the audio in seconds; the utterance's own without it.
    """
    raw_reference = utterance.text or ""
    reference, heard = _tidy(normalize(raw_reference)), _tidy(normalize(hypothesis))
    seconds = utterance.audio.duration_s if duration_s is None else duration_s
    return ScoredUtterance(
        id=utterance.id,
        path=str(utterance.audio.path),
        reference=reference,
        hypothesis=heard,
        raw_reference=raw_reference,
        raw_hypothesis=hypothesis,
        words=count_words(reference, heard),
        characters=count_errors(reference, heard),
        raw_words=count_words(raw_reference, hypothesis),
        raw_characters=count_errors(_tidy(raw_reference), _tidy(hypothesis)),
        duration_s=seconds or 0.0,
        speaker=utterance.speaker,
    )


def count_words(reference: str, hypothesis: str) -> ErrorCounts:
    """Word error counts of two texts."""
    return count_errors(reference.split(), hypothesis.split())


def _tidy(text: str) -> str:
    return " ".join(text.split())


def prediction_json(scored: ScoredUtterance) -> dict[str, Any]:
    """A line of predictions.jsonl, from which the word error rate can be computed again."""
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

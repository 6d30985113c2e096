"""Score one utterance: raw texts, normalised texts, and their error counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gaudi_asr_cli.core.evaluation.counts import count_errors
from gaudi_asr_cli.core.records import ErrorCounts, ScoredUtterance, Utterance, WordTiming


def score_utterance(
    utterance: Utterance,
    hypothesis: str,
    normalize: Callable[[str], str],
    *,
    duration_s: float | None = None,
    words: Sequence[WordTiming] = (),
) -> ScoredUtterance:
    """Compare a hypothesis with its reference, both raw and after `normalize`.

    Words are separated by white space; characters are those of the words joined by single
    spaces, spaces included. An utterance without text has an empty reference.

    Args:
        utterance: The utterance; its `text` is the raw reference.
        hypothesis: The raw hypothesis, as decoded.
        normalize: Applied to both sides.
        duration_s: Length of the audio in seconds; that of the utterance by default.
        words: Those of the raw hypothesis, for their confidences.
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
        start_s=utterance.audio.start_s,
        confidences=_confidences(words, hypothesis),
    )


def _confidences(words: Sequence[WordTiming], hypothesis: str) -> tuple[float | None, ...]:
    """Return the confidence of each word; nothing if none has one, or the text has other words."""
    values = tuple(one.confidence for one in words)
    is_known = any(one is not None for one in values)
    return values if is_known and [one.word for one in words] == hypothesis.split() else ()


def count_words(reference: str, hypothesis: str) -> ErrorCounts:
    """Count the word errors between two texts."""
    return count_errors(reference.split(), hypothesis.split())


def _single_spaced(text: str) -> str:
    return " ".join(text.split())


def prediction_json(scored: ScoredUtterance) -> dict[str, Any]:
    """Return a line of predictions.jsonl, from which the word error rate can be recomputed.

    `start_s` is there where the utterance is a part of its file, `confidences` where the model
    gives them.
    """
    start = {"start_s": scored.start_s} if scored.start_s else {}
    rounded = [None if one is None else round(one, 4) for one in scored.confidences]
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
        **start,
        **({"confidences": rounded} if rounded else {}),
    }

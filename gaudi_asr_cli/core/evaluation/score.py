"""Aggregate scored utterances into the score of an evaluation."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from gaudi_asr_cli.core.errors import UsageError
from gaudi_asr_cli.core.evaluation.comparison import TextComparison, plan_comparison
from gaudi_asr_cli.core.evaluation.intervals import bootstrap_wer
from gaudi_asr_cli.core.evaluation.notes import find_notes
from gaudi_asr_cli.core.evaluation.utterances import score_utterance
from gaudi_asr_cli.core.records import (
    AudioSpan,
    ErrorCounts,
    Score,
    ScoredUtterance,
    Unit,
    Utterance,
)
from gaudi_asr_cli.core.text.scripts import UnspacedText, find_unspaced

Slice = dict[str, float]

_DURATION_EDGES_S = (0.0, 2.0, 5.0, 10.0, 20.0, 30.0)


def score(
    references: Iterable[str],
    hypotheses: Iterable[str],
    *,
    normalizer: str = "basic",
    language: str | None = None,
    seed: int = 42,
) -> Score:
    """Score hypotheses against their references.

    Args:
        references: What was said, one text per utterance.
        hypotheses: What was recognised, in the same order.
        normalizer: Applied to both: `none`, `basic` or `whisper-english` (docs/scoring.md).
        language: Code of the language; matters for the case of Turkish and its relatives.
        seed: Random seed of the bootstrap interval.

    Returns:
        Word and character error rates with counts, an interval and notes on the texts.

    Raises:
        UsageError: There is no such normaliser, there is no text, one of them is no text, or the
            numbers of texts differ.
    """
    expected = _list_texts(references, "references")
    found = _list_texts(hypotheses, "hypotheses")
    if not isinstance(normalizer, str) or not isinstance(language, str | None):
        raise UsageError(
            f"normalizer={normalizer!r}, language={language!r}: both are named by text.",
            remedy="Leave them out, or see gaudi-asr help scoring.",
        )
    if len(expected) != len(found):
        raise UsageError(
            f"There are {len(expected)} references and {len(found)} hypotheses.",
            remedy="Pass one hypothesis for each reference, in the same order.",
        )
    if not expected:
        raise UsageError("There is no text to score.", remedy="Pass at least one reference.")
    comparison = plan_comparison(normalizer, language=language)
    scored = [
        score_utterance(
            Utterance(str(number), AudioSpan(Path()), reference), hypothesis, comparison.normalize
        )
        for number, (reference, hypothesis) in enumerate(zip(expected, found, strict=True))
    ]
    return summarize(scored, comparison, utterances_total=len(scored), audio_s_total=0.0, seed=seed)


def _list_texts(texts: object, role: str) -> list[str]:
    """Return texts as a list, whatever ordered iterable they come in."""
    ordered = isinstance(texts, Iterable) and not isinstance(texts, str | bytes | Mapping | Set)
    if not ordered:
        raise UsageError(
            f"The {role} are of type {type(texts).__name__}: references and hypotheses are lists "
            "of texts.",
            remedy="Pass [text] for one text.",
        )
    listed: list[str] = list(texts)  # type: ignore[call-overload]
    wrong = next((n for n, text in enumerate(listed) if not isinstance(text, str)), None)
    if wrong is not None:
        raise UsageError(
            f"Number {wrong} of the {role} is of type {type(listed[wrong]).__name__}, not a text.",
            remedy="Pass texts: of a transcript its .text, and '' where there is none.",
        )
    return listed


def summarize(  # noqa: PLR0913  # fields of a Score besides the counts, all keyword-only
    scored: Sequence[ScoredUtterance],
    comparison: TextComparison,
    *,
    utterances_total: int,
    audio_s_total: float,
    rtfx: float | None = None,
    phases_s: Mapping[str, float] | None = None,
    seed: int = 42,
    notes: Sequence[str] = (),
) -> Score:
    """Sum the counts and derive the rates, with a 95 % confidence interval, slices and notes.

    Every score of this package is made here: of an evaluation, during training, of a benchmark.

    Args:
        scored: The scored utterances.
        comparison: How `reference` and `hypothesis` of each were compared.
        utterances_total: Utterances in the data, scored or not.
        audio_s_total: Seconds of audio in the data.
        rtfx: Inverse real-time factor: seconds of audio per second of processing.
        phases_s: Seconds spent in each phase.
        seed: Random seed of the bootstrap.
        notes: Notes on the data, which precede those on the texts.
    """
    unspaced = (
        find_unspaced(utterance.reference for utterance in scored)
        if comparison.unit == "word"
        else None
    )
    words = sum((utterance.words for utterance in scored), ErrorCounts())
    low, high = bootstrap_wer(scored, seed=seed)
    return Score(
        wer=words.rate,
        wer_low=low,
        wer_high=high,
        cer=sum((utterance.characters for utterance in scored), ErrorCounts()).rate,
        words=words,
        sentence_error_rate=_sentence_error_rate(scored),
        utterances=len(scored),
        utterances_total=utterances_total,
        audio_s=sum(utterance.duration_s for utterance in scored),
        audio_s_total=audio_s_total,
        normalizer=comparison.label,
        raw_wer=sum((utterance.raw_words for utterance in scored), ErrorCounts()).rate,
        raw_cer=sum((utterance.raw_characters for utterance in scored), ErrorCounts()).rate,
        rtfx=rtfx,
        phases_s=dict(phases_s or {}),
        slices=slice_scores(scored),
        unit=comparison.unit,
        cer_first=unspaced is not None,
        empty_references=tuple(utterance.id for utterance in scored if not utterance.reference),
        notes=(
            *notes,
            *find_notes(scored, comparison.normalizer, comparison.rules),
            *([] if unspaced is None else [_note_unspaced(unspaced)]),
        ),
    )


def _note_unspaced(text: UnspacedText) -> str:
    share, scripts = f"{100 * text.share:.0f} %", " and ".join(text.scripts)
    return (
        f"{share} of the references' letters are {scripts}, which is "
        "written without spaces between words: read the character error rate first, since "
        "words are whatever white space separates."
    )


def _sentence_error_rate(scored: Sequence[ScoredUtterance]) -> float:
    return sum(utterance.words.errors > 0 for utterance in scored) / max(len(scored), 1)


def slice_scores(scored: Sequence[ScoredUtterance]) -> dict[str, dict[str, Slice]]:
    """Return scores by duration and, where known, by speaker; empty slices are left out."""
    slices = {
        "duration": _slice_by(
            sorted(scored, key=lambda utterance: utterance.duration_s),
            lambda utterance: duration_label(utterance.duration_s),
        )
    }
    known = [utterance for utterance in scored if utterance.speaker is not None]
    if known:
        slices["speaker"] = _slice_by(
            sorted(known, key=lambda utterance: str(utterance.speaker)),
            lambda utterance: str(utterance.speaker),
        )
    return slices


def _slice_by(
    scored: Sequence[ScoredUtterance], label: Callable[[ScoredUtterance], str]
) -> dict[str, Slice]:
    groups: dict[str, list[ScoredUtterance]] = {}
    for utterance in scored:
        groups.setdefault(label(utterance), []).append(utterance)
    return {name: _score_slice(members) for name, members in groups.items()}


def _score_slice(members: Sequence[ScoredUtterance]) -> Slice:
    words = sum((utterance.words for utterance in members), ErrorCounts())
    return {
        "utterances": len(members),
        "audio_s": sum(utterance.duration_s for utterance in members),
        "reference_words": words.reference_length,
        "errors": words.errors,
        "wer": words.rate,
        "cer": sum((utterance.characters for utterance in members), ErrorCounts()).rate,
    }


def duration_label(duration_s: float) -> str:
    """Return the range of durations that a slice by duration puts it in."""
    below = bisect_right(_DURATION_EDGES_S, duration_s)
    if below == len(_DURATION_EDGES_S):
        return f"{_DURATION_EDGES_S[-1]:g}+ s"
    return f"{_DURATION_EDGES_S[below - 1]:g}-{_DURATION_EDGES_S[below]:g} s"


def find_worst(
    scored: Sequence[ScoredUtterance], limit: int = 10, *, cer_first: bool = False
) -> tuple[ScoredUtterance, ...]:
    """Return the utterances with the most errors; among equals the higher rate comes first.

    Word errors are counted, or character errors with `cer_first`.
    """
    counted = [(utt, utt.characters if cer_first else utt.words) for utt in scored]
    wrong = [(utterance, counts) for utterance, counts in counted if counts.errors]
    ranked = sorted(wrong, key=lambda pair: (-pair[1].errors, -pair[1].rate, pair[0].id))
    return tuple(utterance for utterance, _ in ranked[:limit])


def score_json(score: Score, *, schema: str = "eval-ctc/1") -> dict[str, Any]:
    """Return the JSON of a score: rates as fractions, counts of normalised words.

    For phonemes it has `per` in place of `wer`, and `reference_phonemes`.
    """
    rate = "wer" if score.unit == "word" else "per"
    return {
        "schema": schema,
        "unit": score.unit,
        rate: score.wer,
        f"{rate}_low": score.wer_low,
        f"{rate}_high": score.wer_high,
        "cer": score.cer,
        "hits": score.words.hits,
        "substitutions": score.words.substitutions,
        "deletions": score.words.deletions,
        "insertions": score.words.insertions,
        f"reference_{score.unit}s": score.words.reference_length,
        "sentence_error_rate": score.sentence_error_rate,
        "utterances": score.utterances,
        "utterances_total": score.utterances_total,
        "audio_s": score.audio_s,
        "audio_s_total": score.audio_s_total,
        "normalizer": score.normalizer,
        "raw": {rate: score.raw_wer, "cer": score.raw_cer},
        "rtfx": score.rtfx,
        "phases_s": score.phases_s,
        "slices": {
            name: {part: _name_slice(numbers, score.unit) for part, numbers in parts.items()}
            for name, parts in score.slices.items()
        },
        "notes": list(score.notes),
    }


def _name_slice(numbers: Mapping[str, float], unit: Unit) -> dict[str, float]:
    if unit == "word":
        return dict(numbers)
    renamed = {"wer": "per", "reference_words": "reference_phonemes"}
    return {renamed.get(key, key): value for key, value in numbers.items()}

"""Scoring of a model on utterances with reference transcripts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.evaluation.comparison import TextComparison
from gaudi_asr_cli.core.evaluation.score import summarize
from gaudi_asr_cli.core.evaluation.utterances import score_utterance
from gaudi_asr_cli.core.events import (
    Observer,
    StageAdvanced,
    StageFinished,
    StageStarted,
    UtteranceDone,
    add_speech_s,
    ignore,
)
from gaudi_asr_cli.core.inference.device_pool import DevicePool
from gaudi_asr_cli.core.inference.recognizer import Recognizer
from gaudi_asr_cli.core.inference.timing import PhaseClock
from gaudi_asr_cli.core.inference.transcribe import transcribe
from gaudi_asr_cli.core.records import Score, ScoredUtterance, Utterance


@dataclass(frozen=True, slots=True)
class ScorableData:
    """The `utterances` to score, and what they are part of.

    The totals count all utterances of the data, scored or not; `notes` are sentences about the
    data, and `phases_s` the seconds that reading it took.
    """

    utterances: tuple[Utterance, ...]
    utterances_total: int
    audio_s_total: float
    notes: tuple[str, ...] = ()
    phases_s: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ScoringResult:
    """The score, and the utterances that are part of it and that are not.

    `speech_s` is the seconds of speech, if that was detected.
    """

    score: Score
    scored: tuple[ScoredUtterance, ...]
    failed: tuple[UtteranceDone, ...]
    speech_s: float | None = None


def score_utterances(  # noqa: PLR0913 - the last four have defaults that callers keep
    recognizer: Recognizer | DevicePool,
    data: ScorableData,
    comparison: TextComparison,
    *,
    stage: str = "transcribe",
    observe: Observer = ignore,
    keep: Callable[[ScoredUtterance], None] = lambda scored: None,
    seed: int = 42,
) -> ScoringResult:
    """Transcribe utterances and score the hypotheses against their references.

    Args:
        recognizer: The model, on one device or several.
        data: Utterances with text; an empty reference counts as such.
        comparison: How hypotheses and references are compared.
        stage: Name of the stage in progress events.
        observe: Receives progress events and the result of every utterance.
        keep: Receives every scored utterance at once, so that it can be written during the run.
        seed: Random seed of the confidence interval.

    Raises:
        DataError: All utterances failed, so there is nothing to score.
    """
    clock, started = PhaseClock(), time.perf_counter()
    scored: list[ScoredUtterance] = []
    failed: list[UtteranceDone] = []
    speech_s: float | None = None
    observe(StageStarted(stage, total=len(data.utterances)))
    if isinstance(recognizer, DevicePool):
        results = recognizer.transcribe(data.utterances, observe=observe, clock=clock)
    else:
        results = transcribe(recognizer, data.utterances, observe=observe, clock=clock)
    for utterance, done in zip(data.utterances, results, strict=True):
        observe(done)
        speech_s = add_speech_s(speech_s, done)
        observe(StageAdvanced(stage, len(scored) + len(failed) + 1))
        if done.transcript is None:
            failed.append(done)
            continue
        one = score_utterance(
            utterance,
            done.transcript.text,
            comparison.normalize,
            duration_s=done.duration_s,
            words=done.transcript.words,
        )
        keep(one)
        scored.append(one)
    seconds = time.perf_counter() - started
    observe(StageFinished(stage, seconds))
    _require_scored(scored, failed)
    score = summarize(
        scored,
        comparison,
        utterances_total=data.utterances_total,
        audio_s_total=data.audio_s_total,
        rtfx=sum(one.duration_s for one in scored) / max(seconds, 1e-9),
        phases_s={**data.phases_s, **clock.phases_s},
        seed=seed,
        notes=data.notes,
    )
    return ScoringResult(score, tuple(scored), tuple(failed), speech_s)


def _require_scored(scored: Sequence[ScoredUtterance], failed: Sequence[UtteranceDone]) -> None:
    if failed and not scored:
        first = failed[0]
        raise DataError(
            f"None of the {len(failed):,} utterances could be transcribed. "
            f"The first, {first.utterance_id}: {first.error}",
            remedy="Try one of them with `gaudi-asr infer`, on the CPU (--device cpu) if this is "
            "another device.",
        )

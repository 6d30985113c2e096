"""Scoring of a model on utterances with reference transcripts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gaudi_asr_cli.core.decoding.base import Decoder
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.evaluation.utterances import score_utterance
from gaudi_asr_cli.core.events import (
    Observer,
    StageAdvanced,
    StageFinished,
    StageStarted,
    UtteranceDone,
    ignore,
)
from gaudi_asr_cli.core.inference.timing import PhaseClock
from gaudi_asr_cli.core.inference.transcribe import transcribe
from gaudi_asr_cli.core.records import ScoredUtterance, Utterance


class OpenRecognizer(Protocol):
    """An `EmissionModel` or a `Recognizer` with the dtype that it computes in."""

    @property
    def dtype(self) -> str: ...


@dataclass(frozen=True, slots=True)
class ScoringResult:
    """Scored and `failed` utterances; `phases_s` may overlap, `seconds` is the wall time."""

    scored: tuple[ScoredUtterance, ...]
    failed: tuple[UtteranceDone, ...]
    seconds: float
    phases_s: dict[str, float]

    @property
    def rtfx(self) -> float:
        """Return the RTFx: seconds of audio transcribed per second."""
        return sum(one.duration_s for one in self.scored) / max(self.seconds, 1e-9)


def score_utterances(  # noqa: PLR0913 - the last three have defaults that callers keep
    model: Any,
    utterances: Sequence[Utterance],
    decoder: Decoder,
    normalize: Callable[[str], str],
    *,
    stage: str = "transcribe",
    observe: Observer = ignore,
    keep: Callable[[ScoredUtterance], None] = lambda scored: None,
) -> ScoringResult:
    """Transcribe utterances and score the hypotheses against their references.

    Args:
        model: An `EmissionModel` or a `Recognizer`.
        utterances: Utterances with text; an empty reference counts as such.
        decoder: Turns the output of the model into text.
        normalize: Applied to reference and hypothesis before they are compared.
        stage: Name of the stage in progress events.
        observe: Receives progress events and the result of every utterance.
        keep: Receives every scored utterance at once, so that it can be written during the run.

    Raises:
        DataError: All utterances failed, so there is nothing to score.
    """
    clock, started = PhaseClock(), time.perf_counter()
    scored: list[ScoredUtterance] = []
    failed: list[UtteranceDone] = []
    observe(StageStarted(stage, total=len(utterances)))
    results = transcribe(model, utterances, decoder, observe=observe, clock=clock)
    for utterance, done in zip(utterances, results, strict=True):
        observe(done)
        observe(StageAdvanced(stage, len(scored) + len(failed) + 1))
        if done.transcript is None:
            failed.append(done)
            continue
        one = score_utterance(
            utterance, done.transcript.text, normalize, duration_s=done.duration_s
        )
        keep(one)
        scored.append(one)
    seconds = time.perf_counter() - started
    observe(StageFinished(stage, seconds))
    if failed and not scored:
        first = failed[0]
        raise DataError(
            f"None of the {len(failed):,} utterances could be transcribed. "
            f"The first, {first.utterance_id}: {first.error}",
            remedy="Try one of them with `gaudi-asr infer`, on the CPU (--device cpu) if this is "
            "another device.",
        )
    return ScoringResult(tuple(scored), tuple(failed), seconds, clock.phases_s)

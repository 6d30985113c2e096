"""A model against utterances with text: heard, decoded and scored, one after another."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gaudi_asr_cli.core.decoding import Decoder
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
    """A `EmissionModel` or an `Recognizer` that says in what it computes."""

    @property
    def dtype(self) -> str: ...


@dataclass(frozen=True, slots=True)
class ScoringResult:
    """What came of it: `failed` could not be heard; `phases_s` overlap, `seconds` is the wall."""

    scored: tuple[ScoredUtterance, ...]
    failed: tuple[UtteranceDone, ...]
    seconds: float
    phases_s: dict[str, float]

    @property
    def rtfx(self) -> float:
        """Seconds of sound heard in a second."""
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
    """Score what the model hears in each utterance.

    Args:
        model: What listens: a `EmissionModel` or an `Recognizer`.
        utterances: With text; an empty reference counts as such.
        decoder: Turns what it says into text.
        normalize: Applied to both sides before they are compared.
        stage: Name under which progress is told.
        observe: Told of progress and of every utterance.
        keep: Gets every scored utterance at once, to be written while the work goes on.

    Raises:
        DataError: All of them failed: no rate of none is a score.
    """
    clock, started = PhaseClock(), time.perf_counter()
    scored: list[ScoredUtterance] = []
    failed: list[UtteranceDone] = []
    observe(StageStarted(stage, total=len(utterances)))
    heard = transcribe(model, utterances, decoder, observe=observe, clock=clock)
    for utterance, done in zip(utterances, heard, strict=True):
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
            f"None of the {len(failed):,} utterances could be heard. "
            f"The first, {first.utterance_id}: {first.error}",
            remedy="Try one of them with `gaudi-asr infer`, on the CPU (--device cpu) if this is "
            "another device.",
        )
    return ScoringResult(tuple(scored), tuple(failed), seconds, clock.phases_s)

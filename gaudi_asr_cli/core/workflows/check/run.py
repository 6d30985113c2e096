"""`check`: report whether a model can be trained on data, before any training."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gaudi_asr_cli.core.data.measure import Measured
from gaudi_asr_cli.core.data.phonemes import pronounce_texts
from gaudi_asr_cli.core.data.quality import AudioFacts, inspect_audio, pick_evenly
from gaudi_asr_cli.core.data.reading import read_measured
from gaudi_asr_cli.core.data.sources import ReadOptions
from gaudi_asr_cli.core.devices.base import Device
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.events import (
    Observer,
    StageAdvanced,
    StageFinished,
    StageStarted,
    ignore,
)
from gaudi_asr_cli.core.inference.recognizer import report_notes
from gaudi_asr_cli.core.records import Utterance
from gaudi_asr_cli.core.text.rules import TextRules
from gaudi_asr_cli.core.workflows.check.findings import (
    CheckFinding,
    InspectedAudio,
    judge_audio,
    judge_contradictions,
    judge_empty,
    judge_lengths,
    judge_overlaps,
    judge_readable,
    judge_splits,
)
from gaudi_asr_cli.core.workflows.check.fits import CheckedFits, check_fits, require_aligner
from gaudi_asr_cli.core.workflows.check.targets import CheckedTexts, find_target

__all__ = ["CheckFinding", "CheckReport", "CheckRequest", "check"]

CHECK_STAGE = "inspect"


@dataclass(frozen=True, slots=True)
class CheckRequest:
    """Data to train on, data to evaluate on, and the model that both are for.

    `vocabulary` is a folder that `vocab` wrote; the default is the model's own. Audio is decoded
    for at most `sample` utterances, spread evenly; headers and texts are read for all.
    `align_model` aligns all texts to their audio, and the `worst` of them are listed.
    """

    train: tuple[str, ...]
    evaluation: tuple[str, ...] = ()
    read_train: ReadOptions = field(default_factory=ReadOptions)
    read_evaluation: ReadOptions = field(default_factory=ReadOptions)
    model: str | None = None
    vocabulary: Path | None = None
    rules: TextRules = field(default_factory=TextRules)
    sample: int = 200
    align_model: str | None = None
    worst: int = 20


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The results of all tests, also of those that found nothing, in the order they are shown."""

    findings: tuple[CheckFinding, ...]
    model: str | None
    utterances: int
    evaluation_utterances: int
    audio_s: float
    inspected: int
    fits: CheckedFits | None = None

    @property
    def stops(self) -> bool:
        return any(finding.severity == "stops" for finding in self.findings)

    @property
    def exit_code(self) -> int:
        return DataError.exit_code if self.stops else 0

    def to_json(self) -> dict[str, Any]:
        alignment = {} if self.fits is None else {"alignment": self.fits.to_json()}
        return {
            "schema": "check/1",
            "stops": self.stops,
            "model": self.model,
            "utterances": self.utterances,
            "evaluation_utterances": self.evaluation_utterances,
            "hours": self.audio_s / 3600,
            "inspected": self.inspected,
            "findings": [asdict(finding) for finding in self.findings],
            **alignment,
        }


def check(
    request: CheckRequest, observe: Observer = ignore, device: Device | None = None
) -> CheckReport:
    """Check data against a model, changing nothing.

    A network is loaded only to align, on `device`.

    Raises:
        DataError: The data or the model cannot be read at all, or no utterance is usable.
        UsageError: A vocabulary for an encoder-decoder, which has a tokenizer; or `align_model`
            cannot align.
        UnreachableError: The model or the data is on the hub, and the hub cannot be reached.
    """
    aligner = None if device is None else require_aligner(request.align_model)
    target = find_target(request.model, request.vocabulary)
    if request.model is not None:
        report_notes(request.model, observe)
    train = _read(request.train, request.read_train, observe)
    evaluation = _read(request.evaluation, request.read_evaluation, observe)
    utterances = (*train.utterances, *evaluation.utterances)
    texts = _read_texts(utterances, request.rules, target.phonemes_of)
    inspected = _inspect(pick_evenly(utterances, request.sample), observe)
    fits = None
    if device is not None and aligner is not None:
        spoken = [request.rules.clean(one.text or "") for one in utterances]
        fits = check_fits(aligner, utterances, spoken, device, observe, worst=request.worst)
    findings = (
        judge_readable((train, evaluation), inspected),
        judge_contradictions((train, evaluation)),
        judge_overlaps(utterances),
        judge_empty(utterances, texts),
        *target.judge_texts(CheckedTexts(utterances, texts, train=len(train.utterances))),
        *judge_lengths(utterances),
        *judge_audio(inspected),
        *judge_splits(train.utterances, evaluation.utterances),
        *(() if fits is None else fits.findings()),
    )
    return CheckReport(
        findings=findings,
        model=request.model,
        utterances=len(train.utterances),
        evaluation_utterances=len(evaluation.utterances),
        audio_s=train.audio_s + evaluation.audio_s,
        inspected=len(inspected.facts) + len(inspected.broken),
        fits=fits,
    )


def _read_texts(
    utterances: Sequence[Utterance], rules: TextRules, language: str | None
) -> list[str]:
    """Return the cleaned texts, as phonemes of a language if the model recognises these."""
    if language is None:
        return [rules.clean(one.text or "") for one in utterances]
    return [one.text or "" for one in pronounce_texts(utterances, language, rules.clean)]


def _read(sources: Sequence[str], options: ReadOptions, observe: Observer) -> Measured:
    if not sources:
        return Measured((), ())
    return read_measured(sources, options, observe)


def _inspect(utterances: Sequence[Utterance], observe: Observer) -> InspectedAudio:
    """Decode and measure; a file that cannot be decoded is a finding, not an error."""
    facts: list[tuple[Utterance, AudioFacts]] = []
    broken: list[str] = []
    started_s = time.monotonic()
    observe(StageStarted(CHECK_STAGE, float(len(utterances))))
    for done, utterance in enumerate(utterances, start=1):
        try:
            facts.append((utterance, inspect_audio(utterance)))
        except DataError as error:
            broken.append(error.message)
        observe(StageAdvanced(CHECK_STAGE, float(done)))
    observe(StageFinished(CHECK_STAGE, time.monotonic() - started_s))
    return InspectedAudio(tuple(facts), tuple(broken))

"""Scoring of a model on data with text, shared by `eval-ctc` and `eval-seq2seq`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaudi_asr_cli.core.data.overlaps import find_overlaps
from gaudi_asr_cli.core.data.phonemes import label_phonemes, pronounce_texts
from gaudi_asr_cli.core.data.reading import read_measured
from gaudi_asr_cli.core.data.sources import ReadOptions
from gaudi_asr_cli.core.decoding.base import Decoder
from gaudi_asr_cli.core.decoding.hypotheses import HypothesisDecoder
from gaudi_asr_cli.core.devices.base import Device
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.evaluation.confusions import Confusion, count_confusions
from gaudi_asr_cli.core.evaluation.notes import find_notes
from gaudi_asr_cli.core.evaluation.repetition import RepetitionMonitor, RepetitionReport
from gaudi_asr_cli.core.evaluation.score import find_worst, score_json, summarize
from gaudi_asr_cli.core.evaluation.utterances import prediction_json
from gaudi_asr_cli.core.events import Event, Observer, UtteranceDone
from gaudi_asr_cli.core.json_text import json_text
from gaudi_asr_cli.core.records import Score, ScoredUtterance, Unit, Utterance
from gaudi_asr_cli.core.runs import RunFolder
from gaudi_asr_cli.core.text.casing import Casing, casing_of
from gaudi_asr_cli.core.text.normalizers import (
    follows_language,
    label_normalizer,
    open_normalizer,
)
from gaudi_asr_cli.core.text.rules import TextRules
from gaudi_asr_cli.core.whole_files import open_whole, write_json

if TYPE_CHECKING:
    from gaudi_asr_cli.core.inference.scoring import OpenRecognizer, ScoringResult


@dataclass(frozen=True, slots=True)
class EvalRequest:
    """The model and the data; `rules` are applied to both texts before the normaliser.

    `language` selects the model's language, and the case rules of i and its relatives.
    """

    model: str
    data: tuple[str, ...]
    read: ReadOptions = field(default_factory=ReadOptions)
    normalizer: str = "basic"
    rules: TextRules = field(default_factory=TextRules)
    language: str | None = None
    dtype: str = "auto"
    run: Path | None = None
    limit: int | None = None
    seed: int = 42


@dataclass(frozen=True, slots=True)
class OpenedModel:
    """A model and its decoder; `phonemes_of` is the language if it recognises phonemes."""

    model: OpenRecognizer
    decoder: Decoder
    phonemes_of: str | None = None


@dataclass(frozen=True, slots=True)
class TextComparison:
    """The normalisation of both texts, its label, and the unit that errors are counted in."""

    normalize: Callable[[str], str]
    label: str
    unit: Unit = "word"
    normalizer: str = "none"
    rules: TextRules = field(default_factory=TextRules)


@dataclass(frozen=True, slots=True)
class NotScored:
    """An utterance that is not part of the score, and the reason."""

    id: str
    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class EvalReport:
    """The score and its details; `broken` utterances could not be read or transcribed."""

    score: Score
    worst: tuple[ScoredUtterance, ...]
    confusions: tuple[Confusion, ...]
    broken: tuple[NotScored, ...]
    without_text: tuple[NotScored, ...]
    model: str
    device: str
    dtype: str
    run: Path
    data: dict[str, Any] = field(default_factory=dict)
    command: str = "eval-ctc"
    repetition: RepetitionReport | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the JSON of the command: SCORE, and repetitive texts of an encoder-decoder."""
        repetition = {} if self.repetition is None else self.repetition.to_json()
        return {**score_json(self.score, schema=f"{self.command}/1"), **repetition}

    def details_json(self) -> dict[str, Any]:
        """Return the content of report.json: SCORE and everything that the tables show."""
        return {
            **self.to_json(),
            "model": self.model,
            "data": self.data,
            "device": self.device,
            "dtype": self.dtype,
            "worst": [prediction_json(one) for one in self.worst],
            "confusions": [asdict(one) for one in self.confusions],
            "broken": [asdict(one) for one in self.broken],
            "without_text": [asdict(one) for one in self.without_text],
            "empty_references": list(self.score.empty_references),
        }


@dataclass(frozen=True, slots=True)
class ScorableData:
    """The `utterances` that can be scored and those that cannot; totals include both.

    `notes` name contradictions of a list and its files, and unread parts of a folder.
    """

    utterances: tuple[Utterance, ...]
    without_text: tuple[NotScored, ...]
    broken: tuple[NotScored, ...]
    utterances_total: int
    audio_s_total: float
    notes: tuple[str, ...] = ()


def evaluate(
    request: EvalRequest,
    device: Device,
    observe: Observer,
    *,
    command: str,
    open_model: Callable[[ScorableData], OpenedModel],
) -> EvalReport:
    """Transcribe the data with a model and score every utterance that can be scored.

    Write predictions.jsonl during inference and report.json at the end, in a new run folder.

    Args:
        request: The model and the data.
        device: The device of the model.
        observe: Receives progress and every utterance.
        command: The name in the JSON, and of the run folder.
        open_model: Opens the model; called only if there is something to score.

    Raises:
        UsageError: The run folder exists, or there is no such normaliser.
        DataError: Nothing can be scored, or the model cannot be opened.
        UnreachableError: A hub id is neither cached nor reachable.
    """
    comparison = _plan_comparison(request)
    with _new_run(request.run, command) as run:
        started_s = time.perf_counter()
        data = read_scorable(request, observe)
        read_s = time.perf_counter() - started_s
        opened = open_model(data)
        if opened.phonemes_of is not None:
            data, comparison = _as_phonemes(data, request, opened.phonemes_of)
        monitor = RepetitionMonitor() if isinstance(opened.decoder, HypothesisDecoder) else None
        observers = observe if monitor is None else _both(monitor, observe)
        result = _transcribe(opened, data.utterances, comparison.normalize, run, observers)
        score = summarize(
            result.scored,
            normalizer=comparison.label,
            utterances_total=data.utterances_total,
            audio_s_total=data.audio_s_total,
            rtfx=result.rtfx,
            phases_s={"read": read_s, **result.phases_s},
            seed=request.seed,
            unit=comparison.unit,
            notes=(
                *data.notes,
                *find_notes(result.scored, comparison.normalizer, comparison.rules),
            ),
        )
        report = EvalReport(
            score=score,
            worst=find_worst(result.scored, cer_first=score.cer_first),
            confusions=count_confusions(result.scored),
            broken=(*data.broken, *map(_not_transcribed, result.failed)),
            without_text=data.without_text,
            model=request.model,
            device=device.name,
            dtype=opened.model.dtype,
            run=run.root,
            data=describe_data(request),
            command=command,
            repetition=None if monitor is None else monitor.report(data.utterances),
        )
        write_json(run.report, report.details_json())
    return report


def _both(first: Observer, second: Observer) -> Observer:
    def observe(event: Event) -> None:
        first(event)
        second(event)

    return observe


def describe_data(request: EvalRequest) -> dict[str, Any]:
    """Return the data as a recipe names it: `{data, config, split}`."""
    sources = list(request.data)
    return {"data": sources, "config": request.read.config, "split": request.read.split}


def read_scorable(request: EvalRequest, observe: Observer) -> ScorableData:
    """Read and measure the data; list the utterances that cannot be scored.

    Raises:
        DataError: No utterance has both audio and text.
    """
    measured = read_measured(request.data, request.read, observe)
    texts = tuple(one for one in measured.utterances if one.text is not None)
    data = ScorableData(
        utterances=texts[: request.limit],
        without_text=tuple(
            NotScored(one.id, str(one.audio.path), "no text")
            for one in measured.utterances
            if one.text is None
        ),
        broken=tuple(
            NotScored(one.utterance.id, str(one.utterance.audio.path), one.reason)
            for one in measured.broken
        ),
        utterances_total=len(measured.utterances) + len(measured.broken),
        audio_s_total=measured.audio_s,
        notes=(*measured.notes, *_note_overlaps(measured.utterances)),
    )
    _require_scorable(data)
    return data


def _note_overlaps(utterances: Sequence[Utterance]) -> Iterator[str]:
    overlaps = find_overlaps(utterances)
    if overlaps:
        yield (
            f"{len(overlaps)} of {len(utterances)} utterances overlap another of their recording "
            f"with a different reference, so that not both can be right; the first: {overlaps[0]}."
        )


def _require_scorable(data: ScorableData) -> None:
    if data.utterances:
        return
    first = next(iter((*data.broken, *data.without_text)), None)
    example = "" if first is None else f"; the first, {describe_first(first)}"
    raise DataError(
        f"Nothing can be scored: of {data.utterances_total} utterances "
        f"{len(data.without_text)} have no text and {len(data.broken)} cannot be read"
        f"{example}".rstrip(".")
        + ".",
        remedy="Check the path and --split; name the column that holds the text with "
        "--text-column.",
    )


def describe_first(skipped: NotScored) -> str:
    """Return file and reason; the file only once if the reason names it too."""
    named = skipped.path in skipped.reason
    return skipped.reason if named else f"{skipped.path}: {skipped.reason}"


def _transcribe(
    opened: OpenedModel,
    utterances: Sequence[Utterance],
    normalize: Callable[[str], str],
    run: RunFolder,
    observe: Observer,
) -> ScoringResult:
    """Transcribe and score everything; the predictions are written as they come."""
    from gaudi_asr_cli.core.inference.scoring import score_utterances

    with open_whole(run.predictions) as predictions:

        def write(one: ScoredUtterance) -> None:
            predictions.write(json_text(prediction_json(one)) + "\n")

        return score_utterances(
            opened.model, utterances, opened.decoder, normalize, observe=observe, keep=write
        )


def _not_transcribed(done: UtteranceDone) -> NotScored:
    return NotScored(done.utterance_id, done.path, done.error or "no transcript")


def _plan_comparison(request: EvalRequest) -> TextComparison:
    rules = replace(request.rules, language=_casing(request))
    normalize = open_normalizer(request.normalizer, rules.language)
    comparison = partial(
        TextComparison, label=_label(request, rules), normalizer=request.normalizer, rules=rules
    )
    if replace(rules, language=None) == TextRules():
        return comparison(normalize)
    return comparison(lambda text: normalize(rules.clean(text)))


def _casing(request: EvalRequest) -> Casing | None:
    """Return the case rules of the language, if the texts are folded at all."""
    folds = request.rules.case != "keep" or follows_language(request.normalizer)
    return casing_of(request.language or request.rules.language) if folds else None


def _as_phonemes(
    data: ScorableData, request: EvalRequest, language: str
) -> tuple[ScorableData, TextComparison]:
    """Replace the references by phonemes, which are not normalised."""
    pronounced = pronounce_texts(data.utterances, language, request.rules.clean)
    comparison = TextComparison(open_normalizer("none"), label_phonemes(language), "phoneme")
    return replace(data, utterances=pronounced), comparison


def _label(request: EvalRequest, rules: TextRules) -> str:
    """Return name and version of the normaliser, and the rules applied before it."""
    label = label_normalizer(request.normalizer)
    default = TextRules()
    changed = [
        f"{name}={value!r}"
        for name, value in asdict(rules).items()
        if value != getattr(default, name)
    ]
    return " ".join([label, *changed])


@contextmanager
def _new_run(root: Path | None, command: str) -> Iterator[RunFolder]:
    """Create a run folder; remove it if the work fails before its predictions are complete."""
    run = RunFolder.create_numbered(command) if root is None else RunFolder.create(root)
    try:
        yield run
    except BaseException:
        with suppress(OSError):  # not empty: the predictions are there, and stay
            run.root.rmdir()
        raise

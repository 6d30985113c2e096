"""`eval-ctc` and `eval-seq2seq`: score a model on data with text."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from gaudi_asr_cli.core.data.overlaps import find_overlaps
from gaudi_asr_cli.core.data.phonemes import label_phonemes, pronounce_texts
from gaudi_asr_cli.core.data.reading import read_measured
from gaudi_asr_cli.core.data.sources import ReadOptions
from gaudi_asr_cli.core.decoding.beam import DEFAULT_BEAM_SIZE
from gaudi_asr_cli.core.devices import AUTO
from gaudi_asr_cli.core.devices.base import Device
from gaudi_asr_cli.core.errors import DataError, UsageError
from gaudi_asr_cli.core.evaluation.comparison import (
    TextComparison,
    compare_phonemes,
    plan_comparison,
)
from gaudi_asr_cli.core.evaluation.confusions import Confusion, count_confusions
from gaudi_asr_cli.core.evaluation.repetition import RepetitionMonitor, RepetitionReport
from gaudi_asr_cli.core.evaluation.score import find_worst, score_json
from gaudi_asr_cli.core.evaluation.utterances import prediction_json
from gaudi_asr_cli.core.events import Event, Noticed, Observer, UtteranceDone, ignore
from gaudi_asr_cli.core.inference.device_pool import DevicePool, PoolRequest
from gaudi_asr_cli.core.inference.options import InferenceOptions
from gaudi_asr_cli.core.inference.recognizer import (
    Recognizer,
    has_languages,
    open_recognizer,
    report_notes,
)
from gaudi_asr_cli.core.inference.scoring import ScorableData, ScoringResult, score_utterances
from gaudi_asr_cli.core.json_text import json_text
from gaudi_asr_cli.core.records import Score, ScoredUtterance, Utterance
from gaudi_asr_cli.core.run_lock import hold_lock
from gaudi_asr_cli.core.runs import RunFolder
from gaudi_asr_cli.core.text.casing import casing_of
from gaudi_asr_cli.core.text.rules import TextRules
from gaudi_asr_cli.core.whole_files import (
    open_whole,
    remove_parts,
    write_json,
    write_whole,
)
from gaudi_asr_cli.core.workflows.tune_lm import TunedWeights, tune_weights

EVAL_OPTIONS = InferenceOptions(timestamps="none")
TUNED_RECIPE = "decoding.yaml"
"""Recipe of a run folder with the weights that --tune-lm chose."""
_SAMPLE_UTTERANCES = 50  # enough text to find the case of the references


@dataclass(frozen=True, slots=True)
class EvalRequest:
    """The model and the data; `rules` are applied to both texts before the normaliser.

    `language` selects the model's language, and the case rules of i and its relatives. `command`
    names the JSON and the run folder. `tune_lm` is a development set on which the weights of the
    language model are chosen first. `cards` devices share the work, a process each, which
    `device_name` and `hpu_mode` open.
    """

    model: str
    data: tuple[str, ...]
    read: ReadOptions = field(default_factory=ReadOptions)
    normalizer: str = "basic"
    rules: TextRules = field(default_factory=TextRules)
    language: str | None = None
    options: InferenceOptions = EVAL_OPTIONS
    run: Path | None = None
    limit: int | None = None
    seed: int = 42
    command: str = "eval-ctc"
    tune_lm: tuple[str, ...] = ()
    cards: int = 1
    device_name: str = AUTO
    hpu_mode: str = "auto"


@dataclass(frozen=True, slots=True)
class NotScored:
    """An utterance that is not part of the score, and the reason."""

    id: str
    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class EvalReport:
    """The score and its details; `broken` utterances could not be read or transcribed.

    `speech_s` is the seconds of speech, if that was detected. `peak_memory_mb` is that of the
    device, or of the process on a CPU.
    """

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
    speech_s: float | None = None
    tuned: TunedWeights | None = None
    peak_memory_mb: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the JSON of the command: SCORE, and repetitive texts of an encoder-decoder."""
        repetition = {} if self.repetition is None else self.repetition.to_json()
        speech = {} if self.speech_s is None else {"speech_s": self.speech_s}
        tuned = {} if self.tuned is None else {"tuned": self.tuned.to_json()}
        score = score_json(self.score, schema=f"{self.command}/1")
        return {**score, **speech, **repetition, **tuned}

    def details_json(self) -> dict[str, Any]:
        """Return the content of report.json: SCORE and everything that the tables show."""
        return {
            **self.to_json(),
            "model": self.model,
            "data": self.data,
            "device": self.device,
            "dtype": self.dtype,
            "peak_memory_mb": self.peak_memory_mb,
            "worst": [prediction_json(one) for one in self.worst],
            "confusions": [asdict(one) for one in self.confusions],
            "broken": [asdict(one) for one in self.broken],
            "without_text": [asdict(one) for one in self.without_text],
            "empty_references": list(self.score.empty_references),
        }


@dataclass(frozen=True, slots=True)
class EvalData:
    """The data to score, and the utterances of it that cannot be scored."""

    scorable: ScorableData
    without_text: tuple[NotScored, ...]
    broken: tuple[NotScored, ...]


def evaluate(request: EvalRequest, device: Device | None, observe: Observer = ignore) -> EvalReport:
    """Transcribe the data with a model and score every utterance that can be scored.

    Write predictions.jsonl during inference and report.json at the end, in a new run folder. The
    model is opened only if there is something to score. `device` is None where several are used:
    each process opens its own.

    Raises:
        UsageError: The run folder exists, there is no such normaliser, or the model does not
            support an option.
        DataError: Nothing can be scored, or the model cannot be opened.
        UnreachableError: A hub id is neither cached nor reachable.
    """
    comparison = plan_comparison(request.normalizer, request.rules, request.language)
    with _new_run(request.run, request.command) as run, ExitStack() as stack:
        data = read_scorable(request, observe)
        report_notes(request.model, observe, options=request.options)
        recognizer = _open_model(request, device, stack, observe)
        for note in recognizer.notes:
            observe(Noticed(note))
        recognizer, tuned = _tune(request, recognizer, comparison, run, observe)
        _warn_of_case(request, recognizer, data.scorable.utterances, observe)
        scorable = data.scorable
        if recognizer.phonemes_of is not None:
            scorable, comparison = _as_phonemes(scorable, request.rules, recognizer.phonemes_of)
        monitor = RepetitionMonitor() if recognizer.generates else None
        observers = observe if monitor is None else _both(monitor, observe)
        result = _transcribe(recognizer, scorable, comparison, run, observers, seed=request.seed)
        report = EvalReport(
            score=result.score,
            worst=find_worst(result.scored, cer_first=result.score.cer_first),
            confusions=count_confusions(result.scored),
            broken=(*data.broken, *map(_not_transcribed, result.failed)),
            without_text=data.without_text,
            model=request.model,
            device=recognizer.device.name if device is None else device.name,
            dtype=recognizer.dtype,
            run=run.root,
            data=describe_data(request),
            command=request.command,
            tuned=tuned,
            repetition=None if monitor is None else monitor.report(scorable.utterances),
            speech_s=result.speech_s,
            peak_memory_mb=None if device is None else device.peak_memory_mb(),
        )
        write_json(run.report, report.details_json())
    return report


def _tune(
    request: EvalRequest,
    recognizer: Recognizer | DevicePool,
    comparison: TextComparison,
    run: RunFolder,
    observe: Observer,
) -> tuple[Recognizer | DevicePool, TunedWeights | None]:
    """Choose the language model's weights on the development set, and write them to a recipe."""
    if not request.tune_lm:
        return recognizer, None
    if isinstance(recognizer, DevicePool):
        raise UsageError(
            "--tune-lm compares weights on one device.",
            remedy="Tune without --cards; then score with --recipe and the decoding.yaml of that.",
        )
    if set(request.tune_lm) & set(request.data):
        raise UsageError(
            "--tune-lm names the data that is scored: its score would be too good.",
            remedy="Tune on a development set, and score another.",
        )
    development = read_scorable(replace(request, data=request.tune_lm, limit=None), observe)
    tuned = tune_weights(recognizer, development.scorable.utterances, comparison, observe)
    options = replace(request.options, lm_weight=tuned.lm_weight, word_bonus=tuned.word_bonus)
    recipe = tuned.to_recipe(request.model, str(options.lm), options.beams or DEFAULT_BEAM_SIZE)
    write_whole(run.root / TUNED_RECIPE, recipe)
    return recognizer.with_options(options), tuned


def _open_model(
    request: EvalRequest, device: Device | None, stack: ExitStack, observe: Observer
) -> Recognizer | DevicePool:
    """Open the model; a language that only has case rules is not one that it must know."""
    language = request.language
    if casing_of(language) is not None and not has_languages(request.model):
        language = None
    options = replace(request.options, language=language)
    if device is not None:
        return open_recognizer(request.model, device, options)
    asked = PoolRequest(
        request.cards, request.device_name, request.hpu_mode, request.model, options
    )
    return stack.enter_context(DevicePool(asked, observe))


def _warn_of_case(
    request: EvalRequest,
    recognizer: Recognizer | DevicePool,
    utterances: Sequence[Utterance],
    observe: Observer,
) -> None:
    if request.normalizer != "none":
        return
    sample = " ".join(
        request.rules.clean(one.text or "") for one in utterances[:_SAMPLE_UTTERANCES]
    )
    case = recognizer.suggest_case(sample)
    if case != "keep":
        observe(
            Noticed(
                f"The model's text is {case}-case, the references are not: "
                "every such word counts as an error.",
                remedy=f"Compare with --normalizer basic, or fold with --case {case}.",
            )
        )


def _both(first: Observer, second: Observer) -> Observer:
    def observe(event: Event) -> None:
        first(event)
        second(event)

    return observe


def describe_data(request: EvalRequest) -> dict[str, Any]:
    """Return the data as a recipe names it: `{data, config, split}`."""
    sources = list(request.data)
    return {"data": sources, "config": request.read.config, "split": request.read.split}


def read_scorable(request: EvalRequest, observe: Observer) -> EvalData:
    """Read and measure the data; list the utterances that cannot be scored.

    Raises:
        DataError: No utterance has both audio and text.
    """
    started_s = time.perf_counter()
    measured = read_measured(request.data, request.read, observe)
    texts = tuple(one for one in measured.utterances if one.text is not None)
    notes = (*measured.notes, *_note_overlaps(measured.utterances))
    data = EvalData(
        scorable=ScorableData(
            utterances=texts[: request.limit],
            utterances_total=len(measured.utterances) + len(measured.broken),
            audio_s_total=measured.audio_s,
            notes=notes,
            phases_s={"read": time.perf_counter() - started_s},
        ),
        without_text=tuple(
            NotScored(one.id, str(one.audio.path), "no text")
            for one in measured.utterances
            if one.text is None
        ),
        broken=tuple(
            NotScored(one.utterance.id, str(one.utterance.audio.path), one.reason)
            for one in measured.broken
        ),
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


def _require_scorable(data: EvalData) -> None:
    if data.scorable.utterances:
        return
    first = next(iter((*data.broken, *data.without_text)), None)
    example = "" if first is None else f"; the first, {describe_first(first)}"
    raise DataError(
        f"Nothing can be scored: of {data.scorable.utterances_total} utterances "
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
    recognizer: Recognizer | DevicePool,
    data: ScorableData,
    comparison: TextComparison,
    run: RunFolder,
    observe: Observer,
    *,
    seed: int,
) -> ScoringResult:
    """Transcribe and score everything; the predictions are written as they come."""
    with open_whole(run.predictions) as predictions:

        def write(one: ScoredUtterance) -> None:
            predictions.write(json_text(prediction_json(one)) + "\n")

        return score_utterances(
            recognizer, data, comparison, observe=observe, keep=write, seed=seed
        )


def _not_transcribed(done: UtteranceDone) -> NotScored:
    return NotScored(done.utterance_id, done.path, done.error or "no transcript")


def _as_phonemes(
    data: ScorableData, rules: TextRules, language: str
) -> tuple[ScorableData, TextComparison]:
    """Replace the references by phonemes, which are not normalised."""
    pronounced = pronounce_texts(data.utterances, language, rules.clean)
    return replace(data, utterances=pronounced), compare_phonemes(label_phonemes(language))


@contextmanager
def _new_run(root: Path | None, command: str) -> Iterator[RunFolder]:
    """Create and lock a run folder; remove it if the work fails before its predictions are whole.

    A folder in which an evaluation was killed before that is used again.
    """
    run = RunFolder.create_numbered(command) if root is None else RunFolder.create(root)
    try:
        with hold_lock(run.lock):
            remove_parts(run.root)
            yield run
    except BaseException:
        with suppress(OSError):  # not empty: the predictions are there, and stay
            run.root.rmdir()
        raise

"""A model against data with text, every utterance accounted for: `eval-ctc`, `eval-seq2seq`."""

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
from gaudi_asr_cli.core.decoding import Decoder
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
from gaudi_asr_cli.core.runs import RunFolder, write_json
from gaudi_asr_cli.core.text.casing import Casing, casing_of
from gaudi_asr_cli.core.text.normalizers import (
    follows_language,
    label_normalizer,
    open_normalizer,
)
from gaudi_asr_cli.core.text.rules import TextRules

if TYPE_CHECKING:
    from gaudi_asr_cli.core.inference.scoring import OpenRecognizer, ScoringResult


@dataclass(frozen=True, slots=True)
class EvalRequest:
    """Which model on which data; `rules` are applied to both sides before the normaliser.

    `language` is the model's to obey, and decides the case of i and its relatives.
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
    """A model, what makes text of what it says, and whose phonemes that text is, if it is none."""

    model: OpenRecognizer
    decoder: Decoder
    phonemes_of: str | None = None


@dataclass(frozen=True, slots=True)
class Comparing:
    """What is done to both texts, what that is called, and what errors are counted in."""

    normalize: Callable[[str], str]
    label: str
    unit: Unit = "word"
    normalizer: str = "none"
    rules: TextRules = field(default_factory=TextRules)


@dataclass(frozen=True, slots=True)
class NotScored:
    """An utterance that the score leaves out, and why."""

    id: str
    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class EvalReport:
    """The score and what to look at; `broken` could not be read or transcribed."""

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
    writing: RepetitionReport | None = None

    def to_json(self) -> dict[str, Any]:
        """SCORE, the whole JSON of the command; of a decoder also what looks made up."""
        writing = {} if self.writing is None else self.writing.to_json()
        return {**score_json(self.score, schema=f"{self.command}/1"), **writing}

    def account_json(self) -> dict[str, Any]:
        """What report.json holds: SCORE and all that the tables show."""
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
class Gathered:
    """The data, sorted by what can be scored; totals are of everything that was read.

    `notes` say where the list contradicts its files, and what of a folder was not read.
    """

    scorable: tuple[Utterance, ...]
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
    open_model: Callable[[Gathered], OpenedModel],
) -> EvalReport:
    """Transcribe the data with a model and score every utterance that can be scored.

    Writes predictions.jsonl while it runs and report.json when it is done, in a new run folder.

    Args:
        request: Which model on which data.
        device: Where it computes.
        observe: Told of progress and of every utterance.
        command: What names the run folder and the JSON.
        open_model: Opens it once the data is known to be of use.

    Raises:
        UsageError: The run folder exists, or there is no such normaliser.
        DataError: Nothing can be scored, or the model is none.
        UnreachableError: A hub id that is neither cached nor reachable.
    """
    comparing = _comparing(request)
    with _new_run(request.run, command) as run:
        started_s = time.perf_counter()
        gathered = gather(request, observe)
        read_s = time.perf_counter() - started_s
        opened = open_model(gathered)
        if opened.phonemes_of is not None:
            gathered, comparing = _as_phonemes(gathered, request, opened.phonemes_of)
        guard = RepetitionMonitor() if isinstance(opened.decoder, HypothesisDecoder) else None
        watched = observe if guard is None else _both(guard, observe)
        hearing = _transcribe(opened, gathered.scorable, comparing.normalize, run, watched)
        score = summarize(
            hearing.scored,
            normalizer=comparing.label,
            utterances_total=gathered.utterances_total,
            audio_s_total=gathered.audio_s_total,
            rtfx=hearing.rtfx,
            phases_s={"read": read_s, **hearing.phases_s},
            seed=request.seed,
            unit=comparing.unit,
            notes=(
                *gathered.notes,
                *find_notes(hearing.scored, comparing.normalizer, comparing.rules),
            ),
        )
        report = EvalReport(
            score=score,
            worst=find_worst(hearing.scored, cer_first=score.cer_first),
            confusions=count_confusions(hearing.scored),
            broken=(*gathered.broken, *map(_not_transcribed, hearing.failed)),
            without_text=gathered.without_text,
            model=request.model,
            device=device.name,
            dtype=opened.model.dtype,
            run=run.root,
            data=describe_data(request),
            command=command,
            writing=None if guard is None else guard.report(gathered.scorable),
        )
        write_json(run.report, report.account_json())
    return report


def _both(first: Observer, second: Observer) -> Observer:
    def observe(event: Event) -> None:
        first(event)
        second(event)

    return observe


def describe_data(request: EvalRequest) -> dict[str, Any]:
    """What was scored, as a recipe says it: `{data, config, split}`."""
    sources = list(request.data)
    return {"data": sources, "config": request.read.config, "split": request.read.split}


def gather(request: EvalRequest, observe: Observer) -> Gathered:
    """Read and measure all of the data; what cannot be scored is listed, not dropped.

    Raises:
        DataError: No utterance has both sound and text.
    """
    measured = read_measured(request.data, request.read, observe)
    texts = tuple(one for one in measured.utterances if one.text is not None)
    gathered = Gathered(
        scorable=texts[: request.limit],
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
    _refuse_nothing(gathered)
    return gathered


def _note_overlaps(utterances: Sequence[Utterance]) -> Iterator[str]:
    overlaps = find_overlaps(utterances)
    if overlaps:
        yield (
            f"{len(overlaps)} of {len(utterances)} utterances overlap another of their recording "
            f"with a different reference, so that not both can be right; the first: {overlaps[0]}."
        )


def _refuse_nothing(gathered: Gathered) -> None:
    if gathered.scorable:
        return
    first = next(iter((*gathered.broken, *gathered.without_text)), None)
    example = "" if first is None else f"; the first, {describe_first(first)}"
    raise DataError(
        f"Nothing can be scored: of {gathered.utterances_total} utterances "
        f"{len(gathered.without_text)} have no text and {len(gathered.broken)} cannot be read"
        f"{example}".rstrip(".")
        + ".",
        remedy="Check the path and --split; name the column that holds the text with "
        "--text-column.",
    )


def describe_first(skipped: NotScored) -> str:
    """Return file and reason; the file once, where the reason names it too."""
    named = skipped.path in skipped.reason
    return skipped.reason if named else f"{skipped.path}: {skipped.reason}"


def _transcribe(
    opened: OpenedModel,
    utterances: Sequence[Utterance],
    normalize: Callable[[str], str],
    run: RunFolder,
    observe: Observer,
) -> ScoringResult:
    """Score everything, each line of predictions.jsonl written as soon as it is known."""
    from gaudi_asr_cli.core.inference.scoring import score_utterances

    with run.predictions.open("w", encoding="utf-8") as predictions:

        def keep(one: ScoredUtterance) -> None:
            predictions.write(json_text(prediction_json(one)) + "\n")

        return score_utterances(
            opened.model, utterances, opened.decoder, normalize, observe=observe, keep=keep
        )


def _not_transcribed(done: UtteranceDone) -> NotScored:
    return NotScored(done.utterance_id, done.path, done.error or "no transcript")


def _comparing(request: EvalRequest) -> Comparing:
    rules = replace(request.rules, language=_casing(request))
    normalize = open_normalizer(request.normalizer, rules.language)
    compare = partial(
        Comparing, label=_label(request, rules), normalizer=request.normalizer, rules=rules
    )
    if replace(rules, language=None) == TextRules():
        return compare(normalize)
    return compare(lambda text: normalize(rules.clean(text)))


def _casing(request: EvalRequest) -> Casing | None:
    """The rules of case that make a difference to these texts."""
    folds = request.rules.case != "keep" or follows_language(request.normalizer)
    return casing_of(request.language or request.rules.language) if folds else None


def _as_phonemes(
    gathered: Gathered, request: EvalRequest, language: str
) -> tuple[Gathered, Comparing]:
    """References as the model's phonemes, which no normaliser must touch."""
    spoken = pronounce_texts(gathered.scorable, language, request.rules.clean)
    comparing = Comparing(open_normalizer("none"), label_phonemes(language), "phoneme")
    return replace(gathered, scorable=spoken), comparing


def _label(request: EvalRequest, rules: TextRules) -> str:
    """The normaliser's name and version, and the rules that came before it, if any."""
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
    """A new run folder; taken away again where the work fails before anything is in it."""
    run = RunFolder.create_numbered(command) if root is None else RunFolder.create(root)
    try:
        yield run
    except BaseException:
        with suppress(OSError):  # not empty: predictions are there, and stay
            run.root.rmdir()
        raise

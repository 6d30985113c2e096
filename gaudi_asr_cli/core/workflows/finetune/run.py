"""`finetune-ctc` and `finetune-seq2seq`: train a model and score it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gaudi_asr_cli.core.data.buckets import padded_ratio
from gaudi_asr_cli.core.data.measure import Measured
from gaudi_asr_cli.core.data.phonemes import label_phonemes
from gaudi_asr_cli.core.devices.base import Device
from gaudi_asr_cli.core.evaluation.comparison import TextComparison
from gaudi_asr_cli.core.evaluation.score import score_json
from gaudi_asr_cli.core.evaluation.utterances import prediction_json
from gaudi_asr_cli.core.events import Evaluated, Observer, SamplePrediction, ignore
from gaudi_asr_cli.core.inference.scoring import ScorableData, ScoringResult, score_utterances
from gaudi_asr_cli.core.json_text import json_text
from gaudi_asr_cli.core.models.threads import fitting_threads
from gaudi_asr_cli.core.records import Score, Utterance
from gaudi_asr_cli.core.runs import RunFolder
from gaudi_asr_cli.core.secret_values import hide_in_text
from gaudi_asr_cli.core.text.normalizers import label_normalizer, open_normalizer
from gaudi_asr_cli.core.training.batches import TrainingSet
from gaudi_asr_cli.core.training.card import write_card
from gaudi_asr_cli.core.training.eval_loss import evaluation_set, measure_loss
from gaudi_asr_cli.core.training.session import RunSession, TrainingOutcome, train
from gaudi_asr_cli.core.training.tasks.base import Task
from gaudi_asr_cli.core.whole_files import open_whole_folder, write_json, write_whole
from gaudi_asr_cli.core.workflows.finetune.card_facts import card_facts
from gaudi_asr_cli.core.workflows.finetune.job import (
    Job,
    count_reasons,
    prepare,
    rules_of,
    unreadable,
)
from gaudi_asr_cli.core.workflows.finetune.legacy_text import report_legacy_removals
from gaudi_asr_cli.core.workflows.finetune.opening import (
    FinetuneRequest,
    claim_run,
    open_folder,
    recording,
    resolve_recipe,
    unstarted_removed,
    write_skipped,
)
from gaudi_asr_cli.core.workflows.report.run import report_after_training

BYTES_PER_WEIGHT_ON_DISK = 12
"""A checkpoint holds the weight and AdamW's two moments, 4 bytes each."""

BYTES_PER_WEIGHT_IN_MEMORY = 16
"""In memory there is also the gradient."""


PROGRESS_METRICS = {
    "finetune-ctc": ("blank_first", "blank_last"),
    "finetune-seq2seq": ("accuracy_first", "accuracy_last"),
}
"""Metrics besides the loss that show whether a model of a kind is training well."""


@dataclass(frozen=True, slots=True)
class FinetunePlan:
    """The plan of a run (`--dry-run`); sizes are estimates in MB."""

    kind: str
    model: str
    device: str
    dtype: str
    utterances: int
    hours: float
    refused: dict[str, int]
    tokens: int
    edges_s: tuple[float, ...]
    utterances_per_bucket: tuple[int, ...]
    batches_per_epoch: int
    padding: float
    steps: int
    epochs: float
    weights: int
    trained_weights: int
    memory_mb: float
    disk_mb: float

    def to_json(self) -> dict[str, Any]:
        plan = asdict(self)
        return {"schema": f"{plan.pop('kind')}-plan/1", **plan}


@dataclass(frozen=True, slots=True)
class FinetuneReport:
    """The final report of a run; `eval` and `test` are None if nothing was scored.

    `losses` are those of the kept weights on each, where they were measured.
    """

    kind: str
    run: Path
    model: Path
    base: str
    seed: int
    device: str
    dtype: str
    outcome: TrainingOutcome
    refused: dict[str, int]
    eval: Score | None
    test: Score | None
    losses: dict[str, float | None]
    wall_s: float

    def to_json(self) -> dict[str, Any]:
        trained = asdict(self.outcome)
        train = {
            key: trained[key]
            for key in (
                "audio_s", "audio_s_per_s", "utterances_per_s", "padding",
                "loss_first", "loss_last", *PROGRESS_METRICS[self.kind],
            )
        }  # fmt: skip
        return {
            "schema": f"{self.kind}/1",
            "run": str(self.run),
            "model": str(self.model),
            "base": self.base,
            "seed": self.seed,
            "device": self.device,
            "dtype": self.dtype,
            "steps": self.outcome.steps,
            "epochs": self.outcome.epochs,
            "best_step": self.outcome.best_step,
            "resumed_step": self.outcome.resumed_step,
            "sessions": self.outcome.sessions,
            "train": {**train, "refused": self.refused, "curve": self.outcome.curve},
            "eval": self._score_json("eval", self.eval),
            "test": self._score_json("test", self.test),
            "wall_s": self.wall_s,
        }

    def _score_json(self, part: str, score: Score | None) -> dict[str, Any] | None:
        return None if score is None else {**score_json(score), "loss": self.losses[part]}


def finetune(
    request: FinetuneRequest, device: Device, observe: Observer = ignore
) -> FinetuneReport | None:
    """Train a recipe, keep the best weights, score them, and write the run folder.

    In distributed training all ranks train; the first also scores, writes and reports.

    Returns:
        The report of the run; None on every rank but the first.

    Raises:
        UsageError: The run folder exists, or there is none to resume.
        RecipeError: The recipe is invalid, or a resumed run has changed.
        DataError: The data cannot be read, or no example of it can be used.
        TrainingError: The loss is not finite, or the disk is full.
        StoppedError: Ctrl-C or SIGTERM; the run can be resumed.
    """
    started, ranks = time.perf_counter(), device.ranks
    observe = observe if ranks.first else ignore
    with ExitStack() as held:
        ranks.broadcast(lambda: claim_run(request, held, observe))
        job = prepare(resolve_recipe(request), device, observe, request.handover)
        report_legacy_removals(request.former_pattern, job.recipe, job.splits, observe)
        root = ranks.broadcast(lambda: str(open_folder(request, job, held, observe).root))
        folder = RunFolder(Path(root))
        recorded = recording(observe, folder) if ranks.first else ignore
        score = scorer(job) if job.splits.eval else None
        is_new = ranks.first and not request.resume and request.handover is None
        with fitting_threads(job.task), unstarted_removed(folder, new=is_new):
            session = RunSession(folder, recorded, started)
            outcome = train(job.task, job.training_set, score, job.settings, session)
            return finish(job, folder, outcome, recorded, started) if ranks.first else None


def plan_finetune(
    request: FinetuneRequest, device: Device, observe: Observer = ignore
) -> FinetunePlan:
    """Read and check everything, and plan the training without a step of it.

    Raises:
        RecipeError: The recipe is invalid.
        DataError: The data cannot be read, or no example of it can be used.
    """
    job = prepare(resolve_recipe(request), device, observe)
    report_legacy_removals(request.former_pattern, job.recipe, job.splits, observe)
    plan = job.training_set.plan(0)
    durations_s = job.training_set.durations_s
    edges_s = job.training_set.batching.edges_s
    weights, trained = count_weights(job.task.network)
    counts = Counter(edge_of(one, edges_s) for one in durations_s)
    return FinetunePlan(
        kind=job.task.kind,
        model=job.task.name,
        device=device.description,
        dtype=job.task.dtype,
        utterances=len(job.training_set.utterances),
        hours=job.training_set.audio_s / 3600,
        refused=count_reasons(job.skipped),
        tokens=job.task.vocabulary_size,
        edges_s=edges_s,
        utterances_per_bucket=tuple(counts[edge] for edge in edges_s),
        batches_per_epoch=len(plan.batches),
        padding=padded_ratio(plan, durations_s),
        steps=job.settings.steps,
        epochs=job.settings.steps * job.settings.accumulate / len(plan.batches),
        weights=weights,
        trained_weights=trained,
        memory_mb=memory_mb(weights, trained),
        disk_mb=disk_mb(weights),
    )


def count_weights(network: Any) -> tuple[int, int]:
    """Return the number of weights, and of those that are trained."""
    sizes = [(one.numel(), one.requires_grad) for one in network.parameters()]
    return sum(size for size, _ in sizes), sum(size for size, is_trained in sizes if is_trained)


def memory_mb(weights: int, trained: int) -> float:
    """Return MB of weights, gradients and optimiser in fp32; activations come on top."""
    return (4 * weights + (BYTES_PER_WEIGHT_IN_MEMORY - 4) * trained) / 1e6


def disk_mb(weights: int) -> float:
    """Return the largest MB on disk: latest, best and next checkpoint, and the model."""
    return (3 * BYTES_PER_WEIGHT_ON_DISK + 4) * weights / 1e6


def edge_of(duration_s: float, edges_s: Sequence[float]) -> float:
    """Return the edge of the shortest bucket that holds the clip."""
    return next(edge for edge in edges_s if edge + 1e-6 >= duration_s)


@dataclass(frozen=True, slots=True)
class ScoredSplit:
    """The score of a split, and the loss on it where it was measured."""

    result: ScoringResult
    loss: float | None


def score_split(
    job: Job,
    task: Task,
    split: Measured,
    stage: str,
    examples: TrainingSet | None,
    observe: Observer = ignore,
) -> ScoredSplit:
    """Score the model on a split with the recipe's rules and normaliser.

    Args:
        job: The recipe.
        task: The model with its current weights.
        split: What to transcribe.
        stage: Name of the stage in progress events.
        examples: Those of the split that have a loss, which is measured from the same emissions.
        observe: Receives progress events and results.
    """
    rules, language = rules_of(job.recipe), job.recipe.text.phonemes_of
    name = "none" if language else job.recipe.evaluation.normalizer
    normalize = open_normalizer(name, rules.language)
    comparison = TextComparison(
        normalize=lambda text: normalize(rules.clean(text)),
        label=label_phonemes(language) if language else label_normalizer(name, rules.language),
        unit="phoneme" if language else "word",
        normalizer=name,
        rules=rules,
    )
    recognizer = task.recognizer()
    meter = None if examples is None else task.loss_meter(examples.utterances, examples.labels)
    result = score_utterances(
        recognizer if meter is None else meter.measured(recognizer),
        ScorableData(
            scorable(split),
            utterances_total=len(split.utterances) + len(split.broken),
            audio_s_total=split.audio_s,
        ),
        comparison,
        stage=stage,
        observe=observe,
        seed=job.recipe.seed,
    )
    if examples is None or meter is None:
        return ScoredSplit(result, None)
    return ScoredSplit(result, measure_loss(task, examples, meter))


def scorable(split: Measured) -> tuple[Utterance, ...]:
    """Return the utterances with text; the score also counts the others."""
    return tuple(one for one in split.utterances if one.text is not None)


def scorer(job: Job) -> Callable[[Task, int], Evaluated]:
    """Return a function that scores the model on the evaluation split during training."""
    split = job.splits.eval
    assert split is not None  # noqa: S101 - no scorer is made without it
    shown = job.recipe.evaluation.samples
    examples = with_loss(job, split)

    def score(task: Task, step: int) -> Evaluated:
        scored = score_split(job, task, split, "evaluate", examples)
        samples = tuple(
            SamplePrediction(one.reference, one.hypothesis) for one in scored.result.scored[:shown]
        )
        loss = scored.loss
        if task.generates and examples is not None:
            loss = measure_loss(task, examples)
        return Evaluated(step, scored.result.score, loss, samples, best=False)

    return score


def with_loss(job: Job, split: Measured) -> TrainingSet | None:
    """Return the utterances of a split that have a loss; None if none has."""
    return evaluation_set(scorable(split), rules_of(job.recipe), job.task, job.training_set)


def kept_loss(outcome: TrainingOutcome) -> float | None:
    """Return the loss on the evaluation data at the step whose weights are kept, if known."""
    kept = outcome.steps if outcome.best_step is None else outcome.best_step
    return next((one.get("loss") for one in outcome.curve if one["step"] == kept), None)


def finish(
    job: Job, folder: RunFolder, outcome: TrainingOutcome, observe: Observer, started: float
) -> FinetuneReport:
    """Score the final weights; write model, predictions, model card, and last the report."""
    skipped = (*job.skipped, *(unreadable(name, why) for name, why in outcome.broken.items()))
    write_skipped(folder, skipped)
    scores: dict[str, Score] = {}
    losses = {"eval": kept_loss(outcome), "test": None}
    for name, split in (("eval", job.splits.eval), ("test", job.splits.test)):
        if split is not None:
            examples = with_loss(job, split)
            scored = score_split(job, job.task, split, f"score {name}", examples, observe)
            result, scores[name] = scored.result, scored.result.score
            losses[name] = losses[name] if scored.loss is None else scored.loss
            lines = [json_text(prediction_json(one)) for one in result.scored]
            write_whole(folder.predictions, "".join(f"{line}\n" for line in lines))
    card = write_card(card_facts(folder.root.name, job, outcome, scores))
    with open_whole_folder(folder.model) as unfinished:
        job.task.save(unfinished)
        write_whole(unfinished / "README.md", hide_in_text(card))
    report = FinetuneReport(
        kind=job.task.kind,
        run=folder.root,
        model=folder.model,
        base=job.recipe.model,
        seed=job.recipe.seed,
        device=job.task.device.name,
        dtype=job.task.dtype,
        outcome=outcome,
        refused=count_reasons(skipped),
        eval=scores.get("eval"),
        test=scores.get("test"),
        losses=losses,
        wall_s=outcome.earlier_s + time.perf_counter() - started,
    )
    write_json(folder.report, report.to_json())
    report_after_training(folder, observe)
    return report

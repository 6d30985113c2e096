"""`finetune-ctc` and `finetune-seq2seq`: from speech to a model and its word error rate."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gaudi_asr_cli.core.data.buckets import padded_ratio
from gaudi_asr_cli.core.data.measure import Measured
from gaudi_asr_cli.core.data.phonemes import label_phonemes
from gaudi_asr_cli.core.devices.base import Device
from gaudi_asr_cli.core.evaluation.notes import find_notes
from gaudi_asr_cli.core.evaluation.score import score_json, summarize
from gaudi_asr_cli.core.evaluation.utterances import prediction_json
from gaudi_asr_cli.core.events import Evaluated, Observer, SamplePrediction, ignore
from gaudi_asr_cli.core.inference.scoring import ScoringResult
from gaudi_asr_cli.core.json_text import json_text
from gaudi_asr_cli.core.models.threads import fitting_threads
from gaudi_asr_cli.core.recipes.loading import dump_recipe
from gaudi_asr_cli.core.records import Score, Utterance
from gaudi_asr_cli.core.runs import RunFolder, write_json, write_whole
from gaudi_asr_cli.core.secret_values import hide_in_text
from gaudi_asr_cli.core.text.normalizers import label_normalizer, open_normalizer
from gaudi_asr_cli.core.training.card import write_card
from gaudi_asr_cli.core.training.session import TrainingOutcome, train
from gaudi_asr_cli.core.training.tasks.base import Task
from gaudi_asr_cli.core.workflows.finetune.job import (
    Job,
    count_reasons,
    prepare,
    rules_of,
    unreadable,
)
from gaudi_asr_cli.core.workflows.finetune.legacy_text import report_formerly_removed
from gaudi_asr_cli.core.workflows.finetune.opening import (
    FinetuneRequest,
    open_folder,
    recording,
    require_new_run,
    resolve_recipe,
    write_refused,
)

BYTES_PER_WEIGHT_ON_DISK = 12
"""A checkpoint holds the weight and AdamW's two moments, 4 bytes each."""

BYTES_PER_WEIGHT_IN_MEMORY = 16
"""In memory there is the gradient besides."""


LEARNING = {
    "finetune-ctc": ("blank_first", "blank_last"),
    "finetune-seq2seq": ("accuracy_first", "accuracy_last"),
}
"""What tells beside the loss whether a model of a kind learns."""


@dataclass(frozen=True, slots=True)
class FinetunePlan:
    """What a run would do (`--dry-run`); sizes are forecasts, in MB."""

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
    """The closing account of a run; `eval` and `test` are None where nothing was scored."""

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
    wall_s: float

    def to_json(self) -> dict[str, Any]:
        trained = asdict(self.outcome)
        train = {
            key: trained[key]
            for key in (
                "audio_s_per_s", "utterances_per_s", "padding",
                "loss_first", "loss_last", *LEARNING[self.kind],
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
            "train": {**train, "refused": self.refused, "curve": self.outcome.curve},
            "eval": None if self.eval is None else score_json(self.eval),
            "test": None if self.test is None else score_json(self.test),
            "wall_s": self.wall_s,
        }


def finetune(
    request: FinetuneRequest, device: Device, observe: Observer = ignore
) -> FinetuneReport | None:
    """Train as the recipe says, keep the best weights, score them, write the run folder.

    Of several ranks all train, and the first scores, writes, tells and reports.

    Returns:
        The account of the run; None on every rank but the first.

    Raises:
        UsageError: The run folder exists, or there is none to resume.
        RecipeError: The recipe is wrong, or a resumed run is not the one that was started.
        DataError: The data cannot be read, or nothing of it can be learnt.
        TrainingError: The loss is not finite, or the disk is full.
        StoppedError: Ctrl-C or SIGTERM; the run can be resumed.
    """
    started, ranks = time.perf_counter(), device.ranks
    observe = observe if ranks.first else ignore
    ranks.broadcast(lambda: require_new_run(request))
    job = prepare(resolve_recipe(request), device, observe, request.handover)
    report_formerly_removed(request.former_pattern, job.recipe, job.splits, observe)
    folder = RunFolder(Path(ranks.broadcast(lambda: str(open_folder(request, job).root))))
    told = recording(observe, folder) if ranks.first else ignore
    score = scorer(job) if job.splits.eval else None
    with fitting_threads(job.task):
        outcome = train(job.task, job.training_set, score, job.settings, folder, told)
        return finish(job, folder, outcome, told, started) if ranks.first else None


def plan_finetune(
    request: FinetuneRequest, device: Device, observe: Observer = ignore
) -> FinetunePlan:
    """Read and check everything, and say what training would do, without a step of it.

    Raises:
        RecipeError: The recipe is wrong.
        DataError: The data cannot be read, or nothing of it can be learnt.
    """
    job = prepare(resolve_recipe(request), device, observe)
    report_formerly_removed(request.former_pattern, job.recipe, job.splits, observe)
    plan = job.training_set.plan(0)
    durations_s = job.training_set.durations_s
    edges_s = job.training_set.batching.edges_s
    weights, trained = count_weights(job.task.network)
    held = Counter(edge_of(one, edges_s) for one in durations_s)
    return FinetunePlan(
        kind=job.task.kind,
        model=job.task.name,
        device=device.description,
        dtype=job.task.dtype,
        utterances=len(job.training_set.utterances),
        hours=job.training_set.audio_s / 3600,
        refused=count_reasons(job.refused),
        tokens=job.task.vocabulary_size,
        edges_s=edges_s,
        utterances_per_bucket=tuple(held[edge] for edge in edges_s),
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
    """How many weights there are, and how many of them learn."""
    sizes = [(one.numel(), one.requires_grad) for one in network.parameters()]
    return sum(size for size, _ in sizes), sum(size for size, learns in sizes if learns)


def memory_mb(weights: int, trained: int) -> float:
    """What weights, gradients and optimiser take in fp32; what is computed comes on top."""
    return (4 * weights + (BYTES_PER_WEIGHT_IN_MEMORY - 4) * trained) / 1e6


def disk_mb(weights: int) -> float:
    """What is written at most: the newest checkpoint, the best, the next, and the model itself."""
    return (3 * BYTES_PER_WEIGHT_ON_DISK + 4) * weights / 1e6


def edge_of(duration_s: float, edges_s: Sequence[float]) -> float:
    """The bucket of a sound: the shortest that holds it."""
    return next(edge for edge in edges_s if edge + 1e-6 >= duration_s)


def score_split(
    job: Job, task: Task, split: Measured, stage: str, observe: Observer = ignore
) -> tuple[ScoringResult, Score]:
    """Score the model on a split with the recipe's rules and normaliser."""
    rules, language = rules_of(job.recipe), job.recipe.text.phonemes_of
    name = "none" if language else job.recipe.evaluation.normalizer
    normalize = open_normalizer(name, rules.language)
    heard = task.score(
        scorable(split),
        lambda text: normalize(rules.clean(text)),
        stage=stage,
        observe=observe,
    )
    score = summarize(
        heard.scored,
        normalizer=label_phonemes(language) if language else label_normalizer(name, rules.language),
        utterances_total=len(split.utterances) + len(split.broken),
        audio_s_total=split.audio_s,
        rtfx=heard.rtfx,
        phases_s=heard.phases_s,
        seed=job.recipe.seed,
        unit="phoneme" if language else "word",
        notes=find_notes(heard.scored, name, rules),
    )
    return heard, score


def scorable(split: Measured) -> list[Utterance]:
    """Those with text; the score says of how many."""
    return [one for one in split.utterances if one.text is not None]


def scorer(job: Job) -> Callable[[Task, int], Evaluated]:
    """Scores a model on the evaluation split while it is trained."""
    split = job.splits.eval
    shown = job.recipe.evaluation.samples

    def score(task: Task, step: int) -> Evaluated:
        assert split is not None  # noqa: S101 - no scorer is made without it
        heard, found = score_split(job, task, split, "evaluate")
        samples = tuple(
            SamplePrediction(one.reference, one.hypothesis) for one in heard.scored[:shown]
        )
        return Evaluated(step, found, None, samples, best=False)

    return score


def finish(
    job: Job, folder: RunFolder, outcome: TrainingOutcome, observe: Observer, started: float
) -> FinetuneReport:
    """Score the final weights, write model, predictions, card, and last the report."""
    refused = (*job.refused, *(unreadable(name, why) for name, why in outcome.broken.items()))
    write_refused(folder, refused)
    scores: dict[str, Score] = {}
    for name, split in (("eval", job.splits.eval), ("test", job.splits.test)):
        if split is not None:
            heard, scores[name] = score_split(job, job.task, split, f"score {name}", observe)
            lines = [json_text(prediction_json(one)) for one in heard.scored]
            write_whole(folder.predictions, "".join(f"{line}\n" for line in lines))
    job.task.save(folder.model)
    card = write_card(
        kind=job.task.kind,
        name=folder.root.name,
        base=job.recipe.model,
        sources=job.recipe.train.sources,
        hours=job.training_set.audio_s / 3600,
        steps=outcome.steps,
        recipe=dump_recipe(job.recipe),
        scores=scores,
    )
    write_whole(folder.model / "README.md", hide_in_text(card))
    report = FinetuneReport(
        kind=job.task.kind,
        run=folder.root,
        model=folder.model,
        base=job.recipe.model,
        seed=job.recipe.seed,
        device=job.task.device.name,
        dtype=job.task.dtype,
        outcome=outcome,
        refused=count_reasons(refused),
        eval=scores.get("eval"),
        test=scores.get("test"),
        wall_s=time.perf_counter() - started,
    )
    write_json(folder.report, report.to_json())
    return report

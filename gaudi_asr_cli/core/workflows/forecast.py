"""`recipes forecast`: estimate the cost of a training run on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from gaudi_asr_cli.core.benchmarking.shapes import SHAPES
from gaudi_asr_cli.core.data.buckets import Batching, choose_edges, padded_ratio, plan_epoch
from gaudi_asr_cli.core.data.known_splits import find_known
from gaudi_asr_cli.core.devices.base import Device
from gaudi_asr_cli.core.errors import DataError, UnreachableError
from gaudi_asr_cli.core.events import Noticed, Observer, ignore
from gaudi_asr_cli.core.models.threads import fitting_threads
from gaudi_asr_cli.core.recipes.catalogue import name_data
from gaudi_asr_cli.core.recipes.keys import SCRATCH
from gaudi_asr_cli.core.recipes.loading import load_recipe
from gaudi_asr_cli.core.recipes.schema import TrainingRecipe
from gaudi_asr_cli.core.records import BucketPlan
from gaudi_asr_cli.core.training.probe import ProbedStep, probe_step
from gaudi_asr_cli.core.training.schedule import count_steps, count_updates
from gaudi_asr_cli.core.training.tasks.base import Task
from gaudi_asr_cli.core.workflows.finetune.job import (
    open_recipe_task,
    read_splits,
    rules_of,
    texts_of,
)
from gaudi_asr_cli.core.workflows.finetune.run import count_weights, disk_mb, memory_mb

ALPHABET = "abcdefghijklmnopqrstuvwxyz"
SHAPE_OF = {
    **dict.fromkeys(
        ("facebook/wav2vec2-base", "facebook/wav2vec2-base-960h", "microsoft/wavlm-base-plus"),
        "wav2vec2-base",
    ),
    **dict.fromkeys(
        (
            "facebook/wav2vec2-large-lv60",
            "facebook/wav2vec2-large-xlsr-53",
            "facebook/wav2vec2-xls-r-300m",
            "facebook/hubert-large-ll60k",
            "microsoft/wavlm-large",
            "microsoft/unispeech-large-1500h-cv",
        ),
        "wav2vec2-large-lv60",
    ),
}
"""Models of the hub -> the wav2vec 2.0 shape with the same layers and sizes."""


@dataclass(frozen=True, slots=True)
class ForecastRequest:
    """A recipe with settings on top, distributed over `cards` devices like this one."""

    recipe: str
    settings: tuple[str, ...] = ()
    cards: int = 1


@dataclass(frozen=True, slots=True)
class Durations:
    """Durations of the training utterances; `known` names their source."""

    seconds: tuple[float, ...]
    left_out: int
    known: str
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Forecast:
    """Sizes in MB, times in hours; None if nothing could be measured.

    `timed` names the weights of the probe; `hours` exclude evaluation.
    """

    recipe: str
    model: str
    timed: str | None
    device: str
    dtype: str
    cards: int
    data: str
    known: str
    utterances: int
    audio_hours: float
    left_out: int
    edges_s: tuple[float, ...]
    padding: float
    batches_per_epoch: int
    steps: int
    epochs: float
    weights: int | None
    trained_weights: int | None
    memory_mb: float | None
    disk_mb: float | None
    probe: ProbedStep | None
    hours: float | None
    published_hours: float | None
    published_on: str | None

    def to_json(self) -> dict[str, Any]:
        return {"schema": "recipes-forecast/1", **asdict(self)}


def forecast(request: ForecastRequest, device: Device, observe: Observer = ignore) -> Forecast:
    """Plan the batches of the run, time a step of its model here, and multiply.

    Raises:
        RecipeError: There is no such recipe, it does not train, or it names no data.
        UnreachableError: The data cannot be reached and its size is not known either.
    """
    recipe = load_recipe(request.recipe, request.settings)
    durations = find_durations(recipe, observe)
    task, timed = find_task(recipe, durations.texts, device, observe)
    window_s = task.window_s if task else None
    plan, edges_s = plan_batches(recipe, durations.seconds, window_s, device)
    accumulate = recipe.batching.accumulate
    updates = count_updates(len(plan.batches), accumulate * request.cards)
    steps = count_steps(updates, recipe.epochs, recipe.max_steps)
    weights, trained = count_weights(task.network) if task else (None, None)
    probe = None
    if task is not None:
        with fitting_threads(task):
            probe = probe_step(task)
    return Forecast(
        recipe=recipe.name,
        model=recipe.model,
        timed=timed,
        device=device.description,
        dtype=task.dtype if task else recipe.dtype,
        cards=request.cards,
        data=name_data(recipe.train.model_dump()),
        known=durations.known,
        utterances=len(durations.seconds),
        audio_hours=sum(durations.seconds) / 3600,
        left_out=durations.left_out,
        edges_s=edges_s,
        padding=padded_ratio(plan, durations.seconds),
        batches_per_epoch=len(plan.batches),
        steps=steps,
        epochs=steps / updates,
        weights=weights,
        trained_weights=trained,
        memory_mb=None if weights is None or trained is None else memory_mb(weights, trained),
        disk_mb=None if weights is None else disk_mb(weights),
        probe=probe,
        hours=None if probe is None else forecast_hours(probe, plan, steps, accumulate),
        **_published(recipe),
    )


def find_durations(recipe: TrainingRecipe, observe: Observer) -> Durations:
    """Read the durations of the data; model them from its published size if it is unreachable.

    Raises:
        DataError: No utterance is within the duration limits of the recipe.
        UnreachableError: The data cannot be reached and its size is not known either.
    """
    data = recipe.train
    try:
        only_train = recipe.model_copy(update={"eval": None, "test": None})
        measured = read_splits(only_train, observe).train
        seconds = [one.audio.duration_s or 0.0 for one in measured.utterances]
        known, texts = "read", tuple(texts_of(measured, rules_of(recipe)))
    except UnreachableError as error:
        size = find_known(data.sources, data.config, data.split)
        if size is None:
            raise UnreachableError(
                error.message,
                remedy=f"Its size is not known either: name a copy with --train. {error.remedy}",
            ) from error
        seconds = size.draw_durations_s()[: data.limit]
        published = f"{size.utterances:,} utterances and {size.hours} h are published"
        known, texts = f"unreachable; {published}, the single durations are modelled", ()
    longest_s = recipe.batching.max_seconds or float("inf")
    kept = tuple(one for one in seconds if recipe.batching.min_seconds <= one <= longest_s)
    if not kept:
        raise DataError(
            f"All {len(seconds)} utterances are too short or too long for training.",
            remedy="Change --min-seconds and --max-seconds.",
        )
    return Durations(kept, len(seconds) - len(kept), known, texts)


def find_task(
    recipe: TrainingRecipe, texts: Sequence[str], device: Device, observe: Observer
) -> tuple[Task | None, str | None]:
    """Open the model to time, and name its weights; (None, None) if its shape is not known."""
    sample_texts = list(texts) or [rules_of(recipe).clean(ALPHABET)]
    own = "random weights" if recipe.model == SCRATCH else "its own weights"
    try:
        return open_recipe_task(recipe, sample_texts, device, observe), own
    except UnreachableError as error:
        shape = SHAPE_OF.get(recipe.model)
        if shape is None:
            observe(
                Noticed(
                    f"{error.message} Without it no step can be timed.",
                    remedy="Name a copy, or a model of the same shape, with --model.",
                )
            )
            return None, None
    stand_in = {
        "model": SCRATCH,
        "architecture": SHAPES[shape],
        "vocab": "data",
        "language": None,
    }
    task = open_recipe_task(recipe.model_copy(update=stand_in), sample_texts, device, observe)
    return task, f"unreachable; random weights in the shape of {shape}"


def plan_batches(
    recipe: TrainingRecipe, durations_s: Sequence[float], window_s: float | None, device: Device
) -> tuple[BucketPlan, tuple[float, ...]]:
    """Plan the batches of the first epoch; return them and the edges of the buckets."""
    edges_s = [window_s] if window_s else choose_edges(durations_s, recipe.batching.buckets)
    batching = Batching(
        edges_s=tuple(edges_s),
        batch_s=recipe.batching.batch_seconds,
        utterances=recipe.batching.batch,
        static_shapes=device.recompiles_on_new_shapes,
    )
    label_lengths = [1] * len(durations_s)
    return plan_epoch(durations_s, label_lengths, batching, seed=recipe.seed, epoch=0), tuple(
        edges_s
    )


def forecast_hours(probe: ProbedStep, plan: BucketPlan, steps: int, accumulate: int) -> float:
    """Return the hours of `steps` at the speed of the probe, without communication.

    In a step every device processes `accumulate` batches of its own.
    """
    padded_s = sum(batch.padded_s * len(batch.indices) for batch in plan.batches)
    step_audio_s = accumulate * padded_s / len(plan.batches)
    return steps * (step_audio_s * probe.learning_s / probe.sound_s + probe.update_s) / 3600


def _published(recipe: TrainingRecipe) -> dict[str, Any]:
    published = recipe.published
    if published is None or published.minutes is None:
        return {"published_hours": None, "published_on": None}
    on = f"{published.cards or '?'} x {published.hardware}"
    return {"published_hours": published.minutes / 60, "published_on": on}

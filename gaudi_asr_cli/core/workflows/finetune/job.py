"""Preparation of training before the first step: data, labels, model, batches."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from gaudi_asr_cli.core.data.augment import Augmentation
from gaudi_asr_cli.core.data.buckets import Batching, choose_edges
from gaudi_asr_cli.core.data.index import read_index, write_index
from gaudi_asr_cli.core.data.measure import Measured
from gaudi_asr_cli.core.data.overlaps import find_overlaps
from gaudi_asr_cli.core.data.phonemes import pronounce_texts
from gaudi_asr_cli.core.data.reading import read_measured
from gaudi_asr_cli.core.data.sources import ReadOptions
from gaudi_asr_cli.core.devices.base import Device
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.events import Noticed, Observer
from gaudi_asr_cli.core.inference.recognizer import report_notes
from gaudi_asr_cli.core.recipes.keys import SCRATCH
from gaudi_asr_cli.core.recipes.schema import DataSection, TrainingRecipe
from gaudi_asr_cli.core.text.casing import casing_of
from gaudi_asr_cli.core.text.rules import TextRules
from gaudi_asr_cli.core.training.batches import TrainingSet
from gaudi_asr_cli.core.training.examples import Limits, RejectedExample, name_some, select_examples
from gaudi_asr_cli.core.training.schedule import (
    count_interval,
    count_steps,
    count_updates,
    count_warmup,
)
from gaudi_asr_cli.core.training.settings import (
    NOT_OBEYED,
    TrainingSettings,
    check_extra,
    obeyed,
)
from gaudi_asr_cli.core.training.tasks.base import Task
from gaudi_asr_cli.core.workflows.finetune.tasks import open_task


@dataclass(frozen=True, slots=True)
class Splits:
    """The measured data of a run; None for a split that the recipe does not name."""

    train: Measured
    eval: Measured | None
    test: Measured | None


@dataclass(frozen=True, slots=True)
class Job:
    """Everything that training needs."""

    recipe: TrainingRecipe
    splits: Splits
    task: Task
    training_set: TrainingSet
    skipped: tuple[RejectedExample, ...]
    settings: TrainingSettings


def prepare(
    recipe: TrainingRecipe, device: Device, observe: Observer, handover: Path | None = None
) -> Job:
    """Read the data, open the model, label the texts and plan the batches; write nothing.

    Args:
        recipe: The model, the data and the settings.
        device: The device of the model.
        observe: Receives progress, and the examples that are skipped.
        handover: The folder where another process wrote the measured data (`write_splits`).

    Raises:
        DataError: The data cannot be read, or no example of it can be used.
        RecipeError: A setting does not fit the model or the trainer.
    """
    check_extra(recipe.trainer, device)
    note_ignored_settings(recipe, observe)
    splits = load_splits(handover) or read_splits(recipe, observe)
    require_readable(splits.train)
    report_overlaps(splits.train, observe)
    rules = rules_of(recipe)
    task = open_recipe_task(recipe, texts_of(splits.train, rules), device, observe)
    limits = Limits(recipe.batching.min_seconds, recipe.batching.max_seconds)
    examples = select_examples(splits.train.utterances, rules, task, limits)
    skipped = (*broken_files(splits.train), *examples.skipped)
    report_skipped(skipped, observe)
    durations_s = [one.audio.duration_s or 0.0 for one in examples.utterances]
    # A model with a fixed window has one bucket.
    edges_s = (
        [task.window_s] if task.window_s else choose_edges(durations_s, recipe.batching.buckets)
    )
    batching = Batching(
        edges_s=tuple(edges_s),
        batch_s=recipe.batching.batch_seconds,
        utterances=recipe.batching.batch,
        static_shapes=device.recompiles_on_new_shapes,
        ranks=device.ranks.count,
    )
    augmentation = Augmentation(speed=recipe.augment.speed)
    training_set = TrainingSet(
        examples.utterances, examples.labels, batching, recipe.seed, augmentation, task.window_s
    )
    batches = len(training_set.plan(0).batches)
    return Job(
        recipe, splits, task, training_set, skipped, training_settings(recipe, task, batches)
    )


def note_ignored_settings(recipe: TrainingRecipe, observe: Observer) -> None:
    """Report settings that are accepted without effect."""
    for name, reason in NOT_OBEYED.items():
        if recipe.trainer.get(name):
            observe(Noticed(f"trainer.{name} is ignored: {reason}.", remedy="Leave it out."))


def open_recipe_task(
    recipe: TrainingRecipe, texts: list[str], device: Device, observe: Observer
) -> Task:
    """Open the task of a recipe; the remedy for a missing local model says how to create it.

    Raises:
        DataError: The model does not exist, or its labels do not cover the texts.
        RecipeError: A setting does not fit the model.
        UnreachableError: A hub id is neither cached nor reachable.
    """
    try:
        if recipe.model != SCRATCH:
            report_notes(recipe.model, observe)
        return open_task(recipe, texts, device, observe)
    except DataError as error:
        if recipe.requires and recipe.model.startswith("./") and not Path(recipe.model).exists():
            raise DataError(error.message, remedy=recipe.requires) from error
        raise


def read_splits(recipe: TrainingRecipe, observe: Observer) -> Splits:
    """Read all utterances of the recipe's data, with durations from headers."""

    def read(data: DataSection | None) -> Measured | None:
        if data is None:
            return None
        options = ReadOptions(
            split=data.split,
            config=data.config,
            text_column=data.text_column,
            language=recipe.language,
        )
        measured = read_measured(data.sources, options, observe, data.limit)
        return with_phonemes(measured, recipe)

    train = read(recipe.train)
    assert train is not None  # noqa: S101 - the schema requires it
    return Splits(train, read(recipe.eval), read(recipe.test))


def with_phonemes(measured: Measured, recipe: TrainingRecipe) -> Measured:
    """Return the data with phonemes as texts, if the recipe trains on phonemes."""
    language = recipe.text.phonemes_of
    if language is None:
        return measured
    pronounced = pronounce_texts(measured.utterances, language, text_rules(recipe).clean)
    return replace(measured, utterances=pronounced)


def write_splits(splits: Splits, folder: Path) -> None:
    """Write the measured data for other processes (see `load_splits`)."""
    for name, measured in (("train", splits.train), ("eval", splits.eval), ("test", splits.test)):
        if measured is not None:
            write_index(folder / f"{name}.jsonl", measured)


def load_splits(folder: Path | None) -> Splits | None:
    """Load the data of `write_splits`; None if there is none, or on a host without the folder."""
    if folder is None or not (folder / "train.jsonl").is_file():
        return None
    found = {path.stem: read_index(path) for path in folder.glob("*.jsonl")}
    return Splits(found["train"], found.get("eval"), found.get("test"))


def rules_of(recipe: TrainingRecipe) -> TextRules:
    """Return the text rules of the splits as read; phonemes are clean already."""
    return text_rules(recipe) if recipe.text.phonemes_of is None else TextRules()


def text_rules(recipe: TrainingRecipe) -> TextRules:
    """Return the text rules of the recipe."""
    text = recipe.text
    return TextRules(
        strip_chars=text.strip_chars,
        case=text.case,
        unicode=text.unicode,
        language=casing_of(text.language or recipe.language),
    )


def texts_of(measured: Measured, rules: TextRules) -> list[str]:
    """Return the cleaned texts of the utterances that have one."""
    return [rules.clean(one.text) for one in measured.utterances if one.text]


def broken_files(measured: Measured) -> tuple[RejectedExample, ...]:
    """Return the utterances whose audio cannot be read as skipped examples."""
    return tuple(unreadable(one.utterance.id, one.reason) for one in measured.broken)


def unreadable(utterance_id: str, reason: str) -> RejectedExample:
    """Return the skipped example of an utterance whose audio cannot be read."""
    return RejectedExample(utterance_id, "audio cannot be read", reason)


def count_reasons(skipped: tuple[RejectedExample, ...]) -> dict[str, int]:
    """Return the number of skipped examples by reason, most common first."""
    return dict(Counter(example.reason for example in skipped).most_common())


def require_readable(measured: Measured) -> None:
    """Check that at least one utterance can be read.

    Raises:
        DataError: No audio can be read; the message names the first file.
    """
    if measured.utterances or not measured.broken:
        return
    first = measured.broken[0]
    raise DataError(
        f"Nothing is left to train on: none of {len(measured.broken)} utterances can be read; "
        f"the first, {first}",
        remedy="Check the paths of the list; relative ones start at it. "
        "`gaudi-asr check DATA` looks at all files.",
    )


def report_overlaps(measured: Measured, observe: Observer) -> None:
    """Report segments that share audio and have different texts."""
    overlaps = find_overlaps(measured.utterances)
    if overlaps:
        observe(
            Noticed(
                f"{len(overlaps)} utterances overlap another of their recording with a different "
                f"text; the first: {overlaps[0]}.",
                remedy="One of the texts does not belong to the audio they share: correct the "
                "times. `gaudi-asr check DATA` lists more.",
            )
        )


def report_skipped(skipped: tuple[RejectedExample, ...], observe: Observer) -> None:
    """Report before the first step which examples are skipped, by reason."""
    for reason, count in count_reasons(skipped).items():
        shown = name_some([one for one in skipped if one.reason == reason])
        observe(
            Noticed(
                f"Not trained on, {reason}: {count} ({shown}).",
                remedy="refused.jsonl in the run folder lists all of them.",
            )
        )


def training_settings(recipe: TrainingRecipe, task: Task, batches: int) -> TrainingSettings:
    """Convert the settings of the recipe to steps."""
    updates = count_updates(batches, recipe.batching.accumulate)
    steps = count_steps(updates, recipe.epochs, recipe.max_steps)
    scored = recipe.eval is not None
    return TrainingSettings(
        steps=steps,
        warmup_steps=count_warmup(recipe.optimizer.warmup, steps),
        eval_every=count_interval(recipe.evaluation.every, updates, steps) if scored else None,
        save_every=count_interval(recipe.evaluation.save_every, updates, steps),
        log_every=recipe.evaluation.log_every,
        learning_rate=recipe.optimizer.learning_rate,
        schedule=recipe.optimizer.schedule,
        betas=recipe.optimizer.betas,
        epsilon=recipe.optimizer.epsilon,
        weight_decay=recipe.optimizer.weight_decay,
        clip_norm=recipe.optimizer.clip_norm,
        accumulate=recipe.batching.accumulate,
        patience=recipe.evaluation.patience,
        keep=recipe.evaluation.keep,
        dtype=task.dtype,
        gradient_checkpointing=recipe.gradient_checkpointing,
        seed=recipe.seed,
        extra=obeyed(recipe.trainer),
    )

"""Everything that is decided before the first step of training: data, labels, model, batches."""

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
    """The data of a run, measured; None where the recipe names none."""

    train: Measured
    eval: Measured | None
    test: Measured | None


@dataclass(frozen=True, slots=True)
class Job:
    """Everything that is known before the first step."""

    recipe: TrainingRecipe
    splits: Splits
    task: Task
    training_set: TrainingSet
    refused: tuple[RejectedExample, ...]
    settings: TrainingSettings


def prepare(
    recipe: TrainingRecipe, device: Device, observe: Observer, handover: Path | None = None
) -> Job:
    """Data read, model opened, texts labelled, batches planned; nothing is written.

    Args:
        recipe: What to train.
        device: What trains.
        observe: Told of progress, and of what will not be trained on.
        handover: Where another process has left the data as it measured it (`hand_over`).

    Raises:
        DataError: The data cannot be read, or nothing of it can be learnt.
        RecipeError: A setting does not fit the model or the trainer.
    """
    check_extra(recipe.trainer, device)
    note_not_obeyed(recipe, observe)
    splits = take_over(handover) or read_splits(recipe, observe)
    refuse_unusable(splits.train)
    report_overlaps(splits.train, observe)
    rules = rules_of(recipe)
    task = open_made_task(recipe, texts_of(splits.train, rules), device, observe)
    limits = Limits(recipe.batching.min_seconds, recipe.batching.max_seconds)
    examples = select_examples(splits.train.utterances, rules, task, limits)
    refused = (*broken_files(splits.train), *examples.skipped)
    report_skipped(refused, observe)
    durations_s = [one.audio.duration_s or 0.0 for one in examples.utterances]
    # Where every sound takes up a whole window there is one bucket.
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
        recipe, splits, task, training_set, refused, training_settings(recipe, task, batches)
    )


def note_not_obeyed(recipe: TrainingRecipe, observe: Observer) -> None:
    """Say which settings are accepted without effect."""
    for name, reason in NOT_OBEYED.items():
        if recipe.trainer.get(name):
            observe(Noticed(f"trainer.{name} is not obeyed: {reason}.", remedy="Leave it out."))


def open_made_task(
    recipe: TrainingRecipe, texts: list[str], device: Device, observe: Observer
) -> Task:
    """The recipe's task; a local model that is missing is told with how to make it.

    Raises:
        DataError: The model is not there, or cannot write what the data says.
        RecipeError: A setting does not fit the model.
        UnreachableError: A hub id that is neither cached nor reachable.
    """
    try:
        return open_task(recipe, texts, device, observe)
    except DataError as error:
        if recipe.requires and recipe.model.startswith("./") and not Path(recipe.model).exists():
            raise DataError(error.message, remedy=recipe.requires) from error
        raise


def read_splits(recipe: TrainingRecipe, observe: Observer) -> Splits:
    """All utterances of the recipe's data, with durations from headers."""

    def read(data: DataSection | None) -> Measured | None:
        if data is None:
            return None
        options = ReadOptions(split=data.split, config=data.config, text_column=data.text_column)
        measured = read_measured(data.sources, options, observe, data.limit)
        return pronounced(measured, recipe)

    train = read(recipe.train)
    assert train is not None  # noqa: S101 - the schema requires it
    return Splits(train, read(recipe.eval), read(recipe.test))


def pronounced(measured: Measured, recipe: TrainingRecipe) -> Measured:
    """The same with phonemes for texts, where that is what the recipe learns."""
    language = recipe.text.phonemes_of
    if language is None:
        return measured
    spoken = pronounce_texts(measured.utterances, language, written_rules(recipe).clean)
    return replace(measured, utterances=spoken)


def hand_over(splits: Splits, folder: Path) -> None:
    """Leave the data as measured for other processes."""
    for name, measured in (("train", splits.train), ("eval", splits.eval), ("test", splits.test)):
        if measured is not None:
            write_index(folder / f"{name}.jsonl", measured)


def take_over(folder: Path | None) -> Splits | None:
    """What `hand_over` left; None where nothing was, or where it cannot be seen from this host."""
    if folder is None or not (folder / "train.jsonl").is_file():
        return None
    found = {path.stem: read_index(path) for path in folder.glob("*.jsonl")}
    return Splits(found["train"], found.get("eval"), found.get("test"))


def rules_of(recipe: TrainingRecipe) -> TextRules:
    """How the recipe cleans the texts of its splits; phonemes are clean when they are read."""
    return written_rules(recipe) if recipe.text.phonemes_of is None else TextRules()


def written_rules(recipe: TrainingRecipe) -> TextRules:
    """How the recipe cleans text as it is written."""
    text = recipe.text
    return TextRules(
        strip_chars=text.strip_chars,
        case=text.case,
        unicode=text.unicode,
        language=casing_of(text.language or recipe.language),
    )


def texts_of(measured: Measured, rules: TextRules) -> list[str]:
    """Cleaned texts, where there are any."""
    return [rules.clean(one.text) for one in measured.utterances if one.text]


def broken_files(measured: Measured) -> tuple[RejectedExample, ...]:
    """Utterances whose audio cannot be read, as refusals."""
    return tuple(unreadable(one.utterance.id, one.reason) for one in measured.broken)


def unreadable(utterance_id: str, reason: str) -> RejectedExample:
    """The refusal of an utterance that nobody can listen to."""
    return RejectedExample(utterance_id, "audio cannot be read", reason)


def count_reasons(refused: tuple[RejectedExample, ...]) -> dict[str, int]:
    """How many were refused for each reason, commonest first."""
    return dict(Counter(refusal.reason for refusal in refused).most_common())


def refuse_unusable(measured: Measured) -> None:
    """Stop where not one utterance can be trained on, with the first reason.

    Raises:
        DataError: All audio is unreadable.
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


def report_skipped(refused: tuple[RejectedExample, ...], observe: Observer) -> None:
    """Say before the first step what will not be trained on."""
    for reason, count in count_reasons(refused).items():
        shown = name_some([one for one in refused if one.reason == reason])
        observe(
            Noticed(
                f"Not trained on, {reason}: {count} ({shown}).",
                remedy="refused.jsonl in the run folder lists all.",
            )
        )


def training_settings(recipe: TrainingRecipe, task: Task, batches: int) -> TrainingSettings:
    """The recipe's numbers as steps."""
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

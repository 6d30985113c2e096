"""Everything that is decided before the first step of training: data, labels, model, batches."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from gaudi_asr_cli.core.data.augment import Augmentation
from gaudi_asr_cli.core.data.buckets import Batching, choose_edges
from gaudi_asr_cli.core.data.measure import Measured, measure
from gaudi_asr_cli.core.data.sources import ReadOptions, read_utterances
from gaudi_asr_cli.core.devices.base import Device
from gaudi_asr_cli.core.errors import DataError, RecipeError
from gaudi_asr_cli.core.events import Noticed, Observer
from gaudi_asr_cli.core.models.ctc import CtcModel
from gaudi_asr_cli.core.models.folder import find_model, has_trained_head
from gaudi_asr_cli.core.models.scratch import build_from_scratch
from gaudi_asr_cli.core.models.tuning import freeze, open_for_training
from gaudi_asr_cli.core.recipes.schema import CtcRecipe, Data
from gaudi_asr_cli.core.records import Vocabulary
from gaudi_asr_cli.core.text.rules import TextRules
from gaudi_asr_cli.core.text.vocabulary import build_vocabulary, read_vocabulary
from gaudi_asr_cli.core.training.batches import TrainingSet
from gaudi_asr_cli.core.training.examples import Limits, Refusal, check_vocabulary, select_examples
from gaudi_asr_cli.core.training.schedule import (
    count_interval,
    count_steps,
    count_updates,
    count_warmup,
)
from gaudi_asr_cli.core.training.settings import TrainingSettings, check_extra


@dataclass(frozen=True, slots=True)
class Splits:
    """The data of a run, measured; None where the recipe names none."""

    train: Measured
    eval: Measured | None
    test: Measured | None


@dataclass(frozen=True, slots=True)
class Job:
    """Everything that is known before the first step."""

    recipe: CtcRecipe
    splits: Splits
    model: CtcModel
    training_set: TrainingSet
    refused: tuple[Refusal, ...]
    settings: TrainingSettings


def prepare(recipe: CtcRecipe, device: Device, observe: Observer) -> Job:
    """Data read, vocabulary chosen, model opened, batches planned; nothing is written.

    Raises:
        DataError: The data cannot be read, or nothing of it can be learnt.
        RecipeError: A setting does not fit the model or the trainer.
    """
    check_extra(recipe.trainer, device)
    splits = read_splits(recipe, observe)
    rules = rules_of(recipe)
    model = open_model(recipe, texts_of(splits.train, rules), device, observe)
    limits = Limits(recipe.batching.min_seconds, recipe.batching.max_seconds)
    examples = select_examples(
        splits.train.utterances, rules, model.vocabulary, model.geometry, limits
    )
    refused = (*broken_files(splits.train), *examples.refused)
    tell_refused(refused, observe)
    durations_s = [one.audio.duration_s or 0.0 for one in examples.utterances]
    batching = Batching(
        edges_s=tuple(choose_edges(durations_s, recipe.batching.buckets)),
        batch_s=recipe.batching.batch_seconds,
        utterances=recipe.batching.batch,
        static_shapes=device.recompiles_on_new_shapes,
    )
    augmentation = Augmentation(speed=recipe.augment.speed)
    training_set = TrainingSet(
        examples.utterances, examples.labels, batching, recipe.seed, augmentation
    )
    batches = len(training_set.plan(0).batches)
    return Job(recipe, splits, model, training_set, refused, settings_of(recipe, model, batches))


def read_splits(recipe: CtcRecipe, observe: Observer) -> Splits:
    """All utterances of the recipe's data, with durations from headers."""

    def read(data: Data | None) -> Measured | None:
        if data is None:
            return None
        options = ReadOptions(split=data.split, config=data.config, text_column=data.text_column)
        sources = [read_utterances(source, options) for source in data.sources]
        return measure(islice(chain.from_iterable(sources), data.limit), observe)

    train = read(recipe.train)
    assert train is not None  # noqa: S101 - the schema requires it
    return Splits(train, read(recipe.eval), read(recipe.test))


def rules_of(recipe: CtcRecipe) -> TextRules:
    """How the recipe cleans text."""
    text = recipe.text
    return TextRules(strip_chars=text.strip_chars, case=text.case, unicode=text.unicode)


def texts_of(measured: Measured, rules: TextRules) -> list[str]:
    """Cleaned texts, where there are any."""
    return [rules.clean(one.text) for one in measured.utterances if one.text]


def open_model(recipe: CtcRecipe, texts: list[str], device: Device, observe: Observer) -> CtcModel:
    """The model to train, with the vocabulary that the recipe asks for.

    Raises:
        DataError: The vocabulary lacks the data's characters.
        RecipeError: `scratch` without an architecture, or the other way round.
    """
    vocabulary = choose_vocabulary(recipe, texts)
    if recipe.model == "scratch":
        if recipe.architecture is None or vocabulary is None:
            raise RecipeError(
                "model: scratch needs an `architecture` and a vocabulary.",
                remedy="`gaudi-asr recipes show digits` has one; set vocab: data.",
            )
        fields = {**recipe.architecture, **recipe.network.overrides()}
        model = build_from_scratch(
            fields, vocabulary, recipe.seed, device=device, dtype=recipe.dtype
        )
    else:
        model = open_for_training(
            recipe.model,
            device=device,
            vocabulary=vocabulary,
            overrides=recipe.network.overrides(),
            language=recipe.language,
            dtype=recipe.dtype,
            seed=recipe.seed,
        )
    unknown = check_vocabulary(model.vocabulary, texts)
    if unknown:
        shown = ", ".join(f"{character!r} {count}x" for character, count in unknown.items())
        observe(
            Noticed(
                f"Not in the vocabulary, trained as unknown: {shown}.",
                remedy="Strip them with --strip-chars, or take --vocab data.",
            )
        )
    freeze(model, recipe.freeze)
    return model


def choose_vocabulary(recipe: CtcRecipe, texts: list[str]) -> Vocabulary | None:
    """The vocabulary to give the model; None keeps its own."""
    choice = recipe.vocab
    if choice == "auto":
        own = recipe.model != "scratch" and has_trained_head(find_model(recipe.model))
        choice = "model" if own else "data"
    if choice == "model":
        return None
    if choice != "data":
        return read_vocabulary(Path(choice))
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text.replace(" ", ""))
    if not counts:
        raise DataError(
            "The training data has no text to learn from.",
            remedy="Name the column that holds it with --text-column.",
        )
    return build_vocabulary(
        counts,
        delimiter=recipe.text.word_delimiter_token,
        unknown=recipe.text.unk_token,
        blank=recipe.text.pad_token,
        min_count=recipe.text.min_count,
    )


def broken_files(measured: Measured) -> tuple[Refusal, ...]:
    """Utterances whose audio cannot be read, as refusals."""
    return tuple(unreadable(one.utterance.id, one.reason) for one in measured.broken)


def unreadable(utterance_id: str, reason: str) -> Refusal:
    """The refusal of an utterance that nobody can listen to."""
    return Refusal(utterance_id, "audio cannot be read", reason)


def count_reasons(refused: tuple[Refusal, ...]) -> dict[str, int]:
    """How many were refused for each reason, commonest first."""
    return dict(Counter(refusal.reason for refusal in refused).most_common())


def tell_refused(refused: tuple[Refusal, ...], observe: Observer) -> None:
    """Say before the first step what will not be trained on."""
    for reason, count in count_reasons(refused).items():
        some = [one for one in refused if one.reason == reason][:5]
        shown = ", ".join(
            f"{one.utterance_id} ({one.detail})" if one.detail else one.utterance_id for one in some
        )
        observe(
            Noticed(
                f"Not trained on, {reason}: {count} ({shown}{', ...' if count > 5 else ''}).",
                remedy="refused.jsonl in the run folder lists all.",
            )
        )


def settings_of(recipe: CtcRecipe, model: CtcModel, batches: int) -> TrainingSettings:
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
        dtype=model.dtype,
        gradient_checkpointing=recipe.gradient_checkpointing,
        seed=recipe.seed,
        extra=recipe.trainer,
    )

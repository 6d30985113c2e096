"""Opening of the model that a recipe trains, by the kind of the recipe."""

from __future__ import annotations

from pathlib import Path

from gaudi_asr_cli.core.decoding.scorer_setup import read_hotwords
from gaudi_asr_cli.core.devices.base import Device
from gaudi_asr_cli.core.errors import DataError, RecipeError
from gaudi_asr_cli.core.events import Noticed, Observer
from gaudi_asr_cli.core.inference.ctc import CtcRecognizer, choose_decoder
from gaudi_asr_cli.core.inference.options import InferenceOptions
from gaudi_asr_cli.core.models.ctc.scratch import build_from_scratch
from gaudi_asr_cli.core.models.ctc.tuning import freeze, open_for_training
from gaudi_asr_cli.core.models.folder import find_model, has_trained_head
from gaudi_asr_cli.core.models.seq2seq.generation import Generation
from gaudi_asr_cli.core.models.seq2seq.labels import (
    TOKENISATION_REMEDY,
    Labeller,
    count_tokenisation,
    open_labeller,
    store_generation,
)
from gaudi_asr_cli.core.models.seq2seq.tuning import (
    LowRank,
    add_low_rank,
    freeze_parts,
    open_seq2seq_for_training,
)
from gaudi_asr_cli.core.recipes.keys import SCRATCH
from gaudi_asr_cli.core.recipes.schema import CtcRecipe, Seq2SeqRecipe, TrainingRecipe
from gaudi_asr_cli.core.records import Vocabulary
from gaudi_asr_cli.core.text.unknown import fix_unknown
from gaudi_asr_cli.core.text.vocabulary import build_vocabulary, count_units, read_vocabulary
from gaudi_asr_cli.core.training.examples import UNKNOWN_LIMIT, check_vocabulary
from gaudi_asr_cli.core.training.tasks.base import Task
from gaudi_asr_cli.core.training.tasks.ctc import CtcTask
from gaudi_asr_cli.core.training.tasks.seq2seq import Seq2SeqTask


def open_task(recipe: TrainingRecipe, texts: list[str], device: Device, observe: Observer) -> Task:
    """Open the task of a recipe; `texts` are the cleaned texts of the training data.

    Raises:
        DataError: The labels of the model do not cover the texts.
        RecipeError: A setting does not fit the model.
        UnreachableError: A hub id is neither cached nor reachable.
    """
    if isinstance(recipe, CtcRecipe):
        return open_ctc_task(recipe, texts, device, observe)
    assert isinstance(recipe, Seq2SeqRecipe)  # noqa: S101 - there are two kinds
    return open_seq2seq_task(recipe, texts, device, observe)


def open_ctc_task(
    recipe: CtcRecipe, texts: list[str], device: Device, observe: Observer
) -> CtcTask:
    """Open the CTC model to train, with the vocabulary of the recipe.

    Raises:
        DataError: The vocabulary lacks the data's characters, or the language model is broken.
        RecipeError: `model: scratch` has no architecture or no vocabulary.
    """
    vocabulary = choose_vocabulary(recipe, texts)
    if recipe.model == SCRATCH:
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
                remedy=fix_unknown(model.vocabulary, texts),
            )
        )
    freeze(model, recipe.freeze)
    # Before training: a broken language model is an error now, not at the first score.
    recognizer = CtcRecognizer(model, choose_decoder(model, decoder_options(recipe)))
    for note in recognizer.notes:
        observe(Noticed(note))
    return CtcTask(model, recognizer.decoder)


def decoder_options(recipe: CtcRecipe) -> InferenceOptions:
    """Return the options of scoring, during training and after it.

    Raises:
        UsageError: A weight without its language model or hotwords, or no hotword.
        DataError: The file of the hotwords cannot be read.
    """
    chosen = recipe.decoding
    options = InferenceOptions(
        kind="ctc",
        timestamps="none",
        beams=chosen.beam_size,
        lm=chosen.lm,
        lm_weight=chosen.lm_weight,
        word_bonus=chosen.word_bonus,
        hotwords=() if chosen.hotwords is None else read_hotwords(chosen.hotwords),
        hotword_weight=chosen.hotword_weight,
    )
    options.check()
    return options


def choose_vocabulary(recipe: CtcRecipe, texts: list[str]) -> Vocabulary | None:
    """Return the vocabulary for the model; None keeps its own."""
    choice = recipe.vocab
    if choice == "auto":
        own = recipe.model != SCRATCH and has_trained_head(find_model(recipe.model))
        choice = "model" if own else "data"
    if choice == "model":
        return None
    if choice != "data":
        return read_vocabulary(Path(choice))
    text = recipe.text
    counts = count_units(texts, phonemes=text.unit == "phoneme")
    if not counts:
        raise DataError(
            "The training data has no text.",
            remedy="Name the column that holds it with --text-column.",
        )
    return build_vocabulary(
        counts,
        delimiter=text.word_delimiter_token,
        unknown=text.unk_token,
        blank=text.pad_token,
        min_count=text.min_count,
        phonemes_of=text.phonemes_of,
    )


def open_seq2seq_task(
    recipe: Seq2SeqRecipe, texts: list[str], device: Device, observe: Observer
) -> Seq2SeqTask:
    """Open the encoder-decoder to train, with the parts frozen that the recipe freezes.

    Raises:
        DataError: The tokenizer does not know too many tokens of the texts.
        RecipeError: A setting does not fit the model.
    """
    model = open_seq2seq_for_training(
        recipe.model,
        device=device,
        encoder=recipe.network.overrides(),
        decoder=recipe.network.decoder,
        dtype=recipe.dtype,
    )
    generation = Generation(
        language=recipe.language,
        task=recipe.task,
        max_tokens=recipe.generation.max_tokens,
        beams=recipe.generation.beams,
    )
    labeller = open_labeller(model, generation)
    store_generation(model, generation)
    report_unknown(labeller, texts, observe)
    if recipe.lora.rank is not None:
        lora = recipe.lora
        alpha = lora.alpha if lora.alpha is not None else 2.0 * recipe.lora.rank
        low_rank = LowRank(recipe.lora.rank, alpha, lora.dropout, tuple(lora.targets), recipe.seed)
        add_low_rank(model, low_rank)
    freeze_parts(model, recipe.freeze)
    return Seq2SeqTask(model, labeller, generation)


def report_unknown(labeller: Labeller, texts: list[str], observe: Observer) -> None:
    """Report how many tokens of the texts the tokenizer does not know.

    Raises:
        DataError: So many that the tokenizer does not match the data.
    """
    tokenisation = count_tokenisation(labeller, texts)
    unknown, tokens = tokenisation.unknown, tokenisation.tokens
    if not unknown:
        return
    worst = tokenisation.texts[0]
    if unknown > UNKNOWN_LIMIT * tokens:
        raise DataError(
            f"The model's tokenizer does not cover this data: {unknown} of {tokens} tokens are "
            f"unknown, for example in {worst!r}.",
            remedy=TOKENISATION_REMEDY,
        )
    observe(
        Noticed(
            f"{unknown} of {tokens} tokens are trained as unknown, for example in {worst!r}.",
            remedy="Remove characters that the tokenizer does not know with --strip-chars.",
        )
    )

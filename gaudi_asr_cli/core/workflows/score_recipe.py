"""Scoring of the model of a recipe on its evaluation data, without training: `--no-train`."""

from __future__ import annotations

from dataclasses import replace

from gaudi_asr_cli.core.data.sources import ReadOptions
from gaudi_asr_cli.core.devices.base import Device
from gaudi_asr_cli.core.errors import RecipeError, UsageError
from gaudi_asr_cli.core.events import Observer, ignore
from gaudi_asr_cli.core.inference.options import InferenceOptions
from gaudi_asr_cli.core.recipes.keys import SCRATCH
from gaudi_asr_cli.core.recipes.schema import CtcRecipe, TrainingRecipe
from gaudi_asr_cli.core.workflows.evaluation import (
    EVAL_OPTIONS,
    EvalReport,
    EvalRequest,
    evaluate,
)
from gaudi_asr_cli.core.workflows.finetune.job import rules_of
from gaudi_asr_cli.core.workflows.finetune.opening import FinetuneRequest, resolve_recipe
from gaudi_asr_cli.core.workflows.finetune.tasks import decoder_options


def score_recipe(
    request: FinetuneRequest, device: Device, observe: Observer = ignore
) -> EvalReport:
    """Score as `eval-ctc` or `eval-seq2seq` does, with the recipe's rules, normaliser and limit.

    Raises:
        RecipeError: The recipe is wrong, or names no data to evaluate on.
        UsageError: No trained model is named.
        DataError: Nothing can be scored, or the model has no trained head.
        UnreachableError: A hub id is neither cached nor reachable.
    """
    recipe = resolve_recipe(request)
    if recipe.model == SCRATCH:
        raise UsageError(
            "Without training there is nothing to score: no model is named.",
            remedy="Name it with --model.",
        )
    data = recipe.eval
    if data is None:
        raise RecipeError(
            "Without training there is nothing to do: no data to evaluate on is named.",
            remedy="Name it with --eval.",
        )
    eval_request = EvalRequest(
        model=recipe.model,
        data=data.sources,
        read=ReadOptions(
            split=data.split,
            config=data.config,
            text_column=data.text_column,
            language=recipe.language,
        ),
        normalizer=recipe.evaluation.normalizer,
        rules=rules_of(recipe),
        language=recipe.language,
        options=scoring_options(recipe),
        run=request.run,
        limit=data.limit,
        seed=recipe.seed,
        command=recipe.kind.replace("finetune", "eval"),
    )
    return evaluate(eval_request, device, observe)


def scoring_options(recipe: TrainingRecipe) -> InferenceOptions:
    """Return the recipe's options of inference: its kind of model, dtype, and generation."""
    if isinstance(recipe, CtcRecipe):
        return replace(decoder_options(recipe), dtype=recipe.dtype)
    values = recipe.model_dump()
    generation = values.get("generation", {})
    return replace(
        EVAL_OPTIONS,
        kind=recipe.kind.removeprefix("finetune-"),
        dtype=recipe.dtype,
        task=values.get("task"),
        max_tokens=generation.get("max_tokens"),
        beams=generation.get("beams", 1),
    )

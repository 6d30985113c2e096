"""Scoring of the model of a recipe on its evaluation data, without training: `--no-train`."""

from __future__ import annotations

from typing import Any

from gaudi_asr_cli.core.data.sources import ReadOptions
from gaudi_asr_cli.core.devices.base import Device
from gaudi_asr_cli.core.errors import RecipeError, UsageError
from gaudi_asr_cli.core.events import Observer, ignore
from gaudi_asr_cli.core.recipes.schema import CtcRecipe, Seq2SeqRecipe, TrainingRecipe
from gaudi_asr_cli.core.workflows.eval_ctc import EvalCtcRequest, eval_ctc
from gaudi_asr_cli.core.workflows.eval_seq2seq import EvalSeq2SeqRequest, eval_seq2seq
from gaudi_asr_cli.core.workflows.evaluation import EvalReport
from gaudi_asr_cli.core.workflows.finetune.job import rules_of
from gaudi_asr_cli.core.workflows.finetune.opening import FinetuneRequest, resolve_recipe


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
    values = common_request(recipe, request)
    if isinstance(recipe, CtcRecipe):
        return eval_ctc(EvalCtcRequest(**values), device, observe)
    assert isinstance(recipe, Seq2SeqRecipe)  # noqa: S101 - there are two kinds
    seq2seq_request = EvalSeq2SeqRequest(
        **values,
        task=recipe.task,
        max_tokens=recipe.generation.max_tokens,
        beams=recipe.generation.beams,
    )
    return eval_seq2seq(seq2seq_request, device, observe)


def common_request(recipe: TrainingRecipe, request: FinetuneRequest) -> dict[str, Any]:
    """Return the values that the requests of `eval-ctc` and `eval-seq2seq` share.

    Raises:
        RecipeError: The recipe names no data to evaluate on.
        UsageError: The recipe names no trained model.
    """
    if recipe.model == "scratch":
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
    return {
        "model": recipe.model,
        "data": data.sources,
        "read": ReadOptions(split=data.split, config=data.config, text_column=data.text_column),
        "normalizer": recipe.evaluation.normalizer,
        "rules": rules_of(recipe),
        "language": recipe.language,
        "dtype": recipe.dtype,
        "run": request.run,
        "limit": data.limit,
        "seed": recipe.seed,
    }

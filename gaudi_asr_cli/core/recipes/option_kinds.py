"""Recipes of commands that do not train: each key is an option, with `_` for `-`.

The command line overrides the recipe.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from gaudi_asr_cli.core.recipes.schema import NormalizerValue, Recipe

Sources = str | list[str]
DtypeValue = Literal["auto", "fp32", "bf16", "fp16"]


class CtcSearchKeys(Recipe):
    """How a CTC model is decoded, for the recipes of several commands."""

    beam_size: NonNegativeInt | None = None
    lm: str | None = Field(None, description="Language model of a CTC model: an ARPA file.")
    lm_weight: float | None = None
    word_bonus: float | None = None
    hotwords: str | None = Field(None, description="Words between commas, or a file of them.")
    hotword_weight: float | None = None


class BenchRecipe(CtcSearchKeys):
    """A benchmark: options of `gaudi-asr bench`."""

    kind: Literal["bench"]
    name: str = ""
    model: str | None = None
    large: bool | None = None
    data: Sources | None = None
    config: str | None = None
    split: str | None = None
    text_column: str | None = None
    limit: PositiveInt | None = None
    buckets: int | Literal["auto"] | None = None
    bucket_rule: Literal["optimal", "quantile"] | None = None
    graphs: bool | None = None
    repeat: PositiveInt | None = None
    dtype: DtypeValue | None = None


class EvalRecipe(Recipe):
    """An evaluation: what `gaudi-asr eval-ctc` and `eval-seq2seq` have in common."""

    kind: Literal["eval-ctc"]
    name: str = ""
    model: str | None = None
    data: Sources | None = None
    config: str | None = None
    split: str | None = None
    text_column: str | None = None
    limit: PositiveInt | None = None
    strip_chars: str | None = None
    case: Literal["keep", "lower", "upper"] | None = None
    normalizer: NormalizerValue | None = None
    language: str | None = Field(
        None, description="Language adapter (MMS), or spoken language (Whisper)."
    )
    dtype: DtypeValue | None = None


class EvalCtcRecipe(EvalRecipe, CtcSearchKeys):
    """An evaluation: options of `gaudi-asr eval-ctc`."""


class EvalSeq2SeqRecipe(EvalRecipe):
    """An evaluation: options of `gaudi-asr eval-seq2seq`."""

    kind: Literal["eval-seq2seq"]  # type: ignore[assignment]  # the kind of another command
    task: Literal["transcribe", "translate"] | None = None
    max_tokens: PositiveInt | None = None
    beams: NonNegativeInt | None = None
    batch: PositiveInt | None = None


class CreateRecipe(Recipe):
    """A warm start: options of `gaudi-asr create-seq2seq`."""

    kind: Literal["create-seq2seq"]
    name: str = ""
    encoder: str
    decoder: str
    adapter_layers: int | None = None
    position_frames: PositiveInt | None = None
    max_tokens: PositiveInt | None = None
    beams: PositiveInt | None = None


OPTION_KINDS: dict[str, type[Recipe]] = {
    "bench": BenchRecipe,
    "eval-ctc": EvalCtcRecipe,
    "eval-seq2seq": EvalSeq2SeqRecipe,
    "create-seq2seq": CreateRecipe,
}
"""Command -> schema of its recipes."""

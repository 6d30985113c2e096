"""Mutated recipes, and overrides of them."""

from __future__ import annotations

import random
from pathlib import Path

from fuzzing import HOSTILE, main, mutate

from gaudi_asr_cli.core.recipes.loading import load_recipe, recipe_files
from gaudi_asr_cli.core.recipes.schema import TrainingRecipe

KEYS = ("model", "train.data", "optimizer.learning_rate", "batching.buckets", "text.case", "a.b.c")


def case(rng: random.Random, folder: Path) -> None:
    """Load a recipe of the package, mutated, sometimes with settings."""
    recipe = rng.choice(recipe_files())
    path = folder / "r.yaml"
    path.write_bytes(mutate(rng, recipe.path.read_text(encoding="utf-8")))
    settings = [f"{rng.choice(KEYS)}={rng.choice(HOSTILE)}"] if rng.random() < 0.3 else []
    assert isinstance(load_recipe(str(path), settings), TrainingRecipe)


if __name__ == "__main__":
    main(case)

"""`recipes`: list recipes, show one, and copy one to change it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from gaudi_asr_cli.core.errors import UsageError
from gaudi_asr_cli.core.recipes.catalogue import RecipeInfo, describe_recipes, name_data
from gaudi_asr_cli.core.recipes.loading import (
    dump_recipe,
    find_recipe,
    load_recipe,
    read_extended,
    read_recipe,
)
from gaudi_asr_cli.core.recipes.option_kinds import OPTION_KINDS
from gaudi_asr_cli.core.secret_values import HIDDEN, hide_in_yaml, secrets_in
from gaudi_asr_cli.core.whole_files import open_whole


@dataclass(frozen=True, slots=True)
class RecipesReport:
    """The recipes of the package."""

    recipes: tuple[RecipeInfo, ...]

    def to_json(self) -> dict[str, Any]:
        return {"schema": "recipes/1", "recipes": [one.to_json() for one in self.recipes]}


def list_recipes() -> RecipesReport:
    """Return every recipe of the package, by name."""
    return RecipesReport(tuple(describe_recipes()))


def read_whole_recipe(name: str) -> str:
    """Return every value of a recipe, inherited ones and defaults included, without comments.

    Data that the user must name is `YOURS`; values that were never published are marked.

    Raises:
        RecipeError: There is no recipe of that name.
    """
    values = read_extended(find_recipe(name))
    if values.get("kind") in OPTION_KINDS:
        return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100)
    settings = [] if name_data(values.get("train") or {}) else ["train.data=YOURS"]
    recipe = load_recipe(name, settings)
    return _mark_unknown(dump_recipe(recipe), recipe.published.unknown if recipe.published else ())


def _mark_unknown(text: str, unknown: Sequence[str]) -> str:
    """Return the YAML of a recipe with a comment after each key that was never published."""
    section, lines = "", []
    for line in text.splitlines():
        found = _KEY.match(line)
        if found is not None:
            indent, name = found.groups()
            section = section if indent else name
            key = f"{section}.{name}" if indent else name
            line += UNKNOWN if key in unknown else ""
        lines.append(line)
    return "\n".join(lines) + "\n"


UNKNOWN = "  # unknown: never published, our default"
_KEY = re.compile(r"( {2})?(\w+):")


def read_recipe_text(name: str) -> str:
    """Return the file of a recipe with its comments, and `***` for secrets.

    Raises:
        RecipeError: There is no recipe of that name.
    """
    path = find_recipe(name)
    text = hide_in_yaml(path.read_text(encoding="utf-8"))
    for secret in secrets_in(read_recipe(path)):
        text = text.replace(secret, HIDDEN)
    return text


def copy_recipe(name: str, target: Path | None = None) -> Path:
    """Copy a recipe to `target`, or to NAME.yaml in the current folder; return the path.

    Raises:
        RecipeError: There is no recipe of that name.
        UsageError: The file exists, or cannot be written.
    """
    text = read_recipe_text(name)
    path = target or Path(f"{Path(name).stem}.yaml")
    try:
        with open_whole(path, new=True) as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(
            f"{path} exists already.", remedy="Name another file: nothing is overwritten."
        ) from None
    except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}.", remedy="Name a file elsewhere."
        ) from error
    return path

"""Find, merge and validate recipes from YAML files and settings."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from gaudi_asr_cli.core.errors import RecipeError
from gaudi_asr_cli.core.recipes.option_kinds import OPTION_KINDS
from gaudi_asr_cli.core.recipes.schema import CtcRecipe, Recipe, Seq2SeqRecipe, TrainingRecipe
from gaudi_asr_cli.core.secret_values import HIDDEN, without_secrets

PACKAGED = Path(__file__).parents[2] / "recipes"
CHECKED_OUT = Path(__file__).parents[3] / "recipes"

KINDS: dict[str, type[TrainingRecipe]] = {
    "finetune-ctc": CtcRecipe,
    "finetune-seq2seq": Seq2SeqRecipe,
}


@dataclass(frozen=True, slots=True)
class RecipeFile:
    """A recipe that the package ships; `about` is the first comment of its file."""

    name: str
    path: Path
    about: str


MAX_YAML_DEPTH = 100
"""Open brackets; recipes need three."""


def recipe_files() -> list[RecipeFile]:
    """List the recipes that the package ships, by name."""
    folder = PACKAGED if PACKAGED.is_dir() else CHECKED_OUT
    return [RecipeFile(path.stem, path, _about(path)) for path in sorted(folder.glob("*.yaml"))]


def _about(path: Path) -> str:
    lines = path.read_text(encoding="utf-8").splitlines()
    return next((line.lstrip("# ") for line in lines if line.startswith("#")), "")


def find_recipe(name_or_file: str) -> Path:
    """Find the file of a recipe by its name or path.

    Raises:
        RecipeError: No recipe has that name and no such file exists; similar names are suggested.
    """
    path = Path(name_or_file)
    if path.suffix in {".yaml", ".yml"} and path.is_file():
        return path
    files = {file.name: file.path for file in recipe_files()}
    if name_or_file in files:
        return files[name_or_file]
    raise RecipeError(
        f"There is no recipe named {name_or_file!r}, and no such file.",
        remedy=_suggest(name_or_file, files) + "`gaudi-asr recipes` lists all recipes.",
    )


def read_recipe(path: Path) -> dict[str, Any]:
    """Read the mapping in a YAML file without validating it.

    Raises:
        RecipeError: The file is not YAML, or not a mapping; names the line if known.
    """
    try:
        values = load_yaml(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise RecipeError(
            f"{path} is not a recipe: its lists or sections are nested too deeply.",
            remedy="`gaudi-asr recipes show digits` prints one to start from.",
        ) from None
    except (yaml.YAMLError, ValueError) as error:
        # ValueError: not UTF-8, an invalid date, or a number of thousands of digits.
        raise RecipeError(
            f"{path} is not valid YAML: {error}", remedy="Correct the line in the message."
        ) from error
    if not isinstance(values, dict):
        raise RecipeError(
            f"{path} is not a recipe: a mapping of keys to values is required.",
            remedy="`gaudi-asr recipes show digits` prints one to start from.",
        )
    return values


def load_yaml(text: str) -> Any:
    """Parse YAML that is nested at most `MAX_YAML_DEPTH` brackets deep.

    PyYAML takes seconds to minutes on thousands of brackets before it gives up.

    Raises:
        RecursionError: Deeper nesting.
        yaml.YAMLError: Invalid YAML.
    """
    depth = 0
    for character in text:
        depth += (character in "[{") - (character in "]}")
        if depth > MAX_YAML_DEPTH:
            raise RecursionError
    return yaml.safe_load(text)


def with_settings(values: Mapping[str, Any], settings: Iterable[str]) -> dict[str, Any]:
    """Return the values with `key.subkey=value` settings merged in; setting values are YAML.

    Raises:
        RecipeError: A setting has no `=`, or its key goes into a value that is not a section.
    """
    merged = _deep_copy(values)
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key:
            raise RecipeError(
                f"The setting {setting!r} is not of the form key=value.",
                remedy="For example: --set optimizer.learning_rate=1.0e-4",
            )
        _put(merged, key.strip().split("."), parse_value(text), setting)
    return merged


def parse_value(text: str) -> Any:
    """Parse a value as YAML, with 3e-4 as a number too; the quoted "3e-4" stays text."""
    try:
        value = load_yaml(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return text
    return float(value) if isinstance(value, str) and _EXPONENT.fullmatch(text.strip()) else value


_EXPONENT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")


def _deep_copy(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _deep_copy(value) if isinstance(value, Mapping) else value
        for key, value in values.items()
    }


def _put(values: dict[str, Any], keys: list[str], value: Any, setting: str) -> None:
    *sections, last = keys
    current = values
    for section in sections:
        inner = current.get(section)
        if isinstance(inner, str) and section in {"train", "eval", "test"}:
            inner = {"data": inner}
        if inner is None:
            inner = {}
        if not isinstance(inner, dict):
            raise RecipeError(
                f"{setting!r} cannot be set: {section!r} is a value, not a section.",
                remedy=f"Set {section}=... itself.",
            )
        current[section] = inner
        current = inner
    current[last] = value


def load_recipe(name_or_file: str, settings: Iterable[str] = ()) -> TrainingRecipe:
    """Load and validate a recipe with the recipe that it extends and settings merged in.

    Raises:
        RecipeError: There is no such recipe, or it or a setting is invalid.
    """
    values = with_settings(read_extended(find_recipe(name_or_file)), settings)
    return check_recipe(values, origin=name_or_file)


def read_extended(path: Path) -> dict[str, Any]:
    """Read a file and the recipe that it extends, unvalidated; its name defaults to the file's.

    Raises:
        RecipeError: A file is not a recipe, or extends itself.
    """
    return {"name": path.stem, **_extended(path, ())}


_NOT_INHERITED = ("name", "published")
"""Keys that a recipe does not inherit from the one that it extends."""


def _extended(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    if path in seen:
        raise RecipeError(
            f"{path} extends itself.", remedy="Remove the `extends` that closes the cycle."
        )
    values = read_recipe(path)
    base = values.pop("extends", None)
    if base is None:
        return values
    inherited = _extended(find_recipe(str(base)), (*seen, path))
    inherited = {key: value for key, value in inherited.items() if key not in _NOT_INHERITED}
    return _merge(inherited, values)


def with_secrets(recipe: TrainingRecipe, secrets: Mapping[str, Any]) -> TrainingRecipe:
    """Return the recipe with the secrets that `dump_recipe` leaves out."""
    if not secrets:
        return recipe
    values = _merge(recipe.model_dump(mode="json"), secrets)
    return check_recipe(values, origin="the recipe with its secrets")


def _merge(base: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    merged = _deep_copy(base)
    for key, value in values.items():
        inner = merged.get(key)
        if isinstance(inner, Mapping) and isinstance(value, Mapping):
            merged[key] = _merge(inner, value)
        else:
            merged[key] = value
    return merged


def check_recipe(values: Mapping[str, Any], *, origin: str) -> TrainingRecipe:
    """Validate the keys and types of a recipe.

    Raises:
        RecipeError: Unknown kind or key (with the nearest name), wrong type, or missing data.
    """
    kind = values.get("kind", "finetune-ctc")
    if kind not in KINDS:
        raise _wrong_kind(kind, origin)
    return _validate(KINDS[kind], _expand_data(values), origin)


def load_options(name_or_file: str, command: str) -> dict[str, Any]:
    """Load the options, by name, from a recipe of a command that does not train.

    Raises:
        RecipeError: There is no such recipe, it is for another command, or it is invalid.
    """
    values = read_extended(find_recipe(name_or_file))
    kind = values.get("kind", "finetune-ctc")
    if kind != command or kind not in OPTION_KINDS:
        raise _wrong_kind(kind, name_or_file)
    recipe = _validate(OPTION_KINDS[kind], values, name_or_file)
    return recipe.model_dump(exclude={"kind", "name", "requires", "published"}, exclude_none=True)


def _wrong_kind(kind: str, origin: str) -> RecipeError:
    known = [*KINDS, *OPTION_KINDS]
    if kind in known:
        return RecipeError(
            f"{origin} is a recipe for {kind}.", remedy=f"Pass it to gaudi-asr {kind} --recipe."
        )
    return RecipeError(
        f"{origin}: unknown kind of recipe {kind!r}.", remedy=f"Known kinds: {', '.join(known)}."
    )


AnyRecipe = TypeVar("AnyRecipe", bound=Recipe)


def _validate(model: type[AnyRecipe], values: Mapping[str, Any], origin: str) -> AnyRecipe:
    try:
        recipe = model.model_validate(values)
    except ValidationError as error:
        raise _as_recipe_error(error, model, origin, values.get("requires")) from None
    _check_unknown(recipe, origin)
    return recipe


def _expand_data(values: Mapping[str, Any]) -> dict[str, Any]:
    """Expand `train: x` to `train: {data: x}`, and `test: {split: x}` to that split of `train`."""
    expanded = {
        key: {"data": value}
        if key in {"train", "eval", "test"} and isinstance(value, (str, list))
        else value
        for key, value in values.items()
    }
    train = expanded.get("train")
    for key in ("eval", "test"):
        section = expanded.get(key)
        if isinstance(train, Mapping) and isinstance(section, Mapping) and "split" in section:
            source = {name: value for name, value in train.items() if name in _SOURCE_KEYS}
            expanded[key] = section if "data" in section else {**source, **section}
    return expanded


_SOURCE_KEYS = ("data", "config", "text_column")


def _check_unknown(recipe: Recipe, origin: str) -> None:
    """Require that `published.unknown` lists keys of a recipe."""
    known = list_keys(type(recipe))
    for key in recipe.published.unknown if recipe.published else ():
        if key not in known:
            raise RecipeError(
                f"{origin}: published.unknown has {key!r}, which is not a recipe key.",
                remedy=_suggest(key, known) + "`gaudi-asr help recipes` lists every key.",
            )


def dump_recipe(recipe: Recipe) -> str:
    """Format a recipe as YAML that loads as the same recipe; secrets are left out."""
    values = without_secrets(recipe.model_dump(mode="json", exclude={"requires", "published"}))
    about = recipe.model_dump(mode="json", include={"requires", "published"}, exclude_defaults=True)
    return yaml.safe_dump({**values, **about}, sort_keys=False, allow_unicode=True, width=100)


def _as_recipe_error(
    error: ValidationError, model: type[BaseModel], origin: str, requires: str | None
) -> RecipeError:
    problems, remedies = [], []
    for problem in error.errors(include_url=False):
        dotted = ".".join(str(key) for key in problem["loc"])
        if problem["type"] == "extra_forbidden":
            problems.append(f"unknown key {dotted!r}")
            remedies.append(_suggest_key(dotted, list_keys(model)))
        elif problem["type"] == "missing":
            problems.append(f"{dotted!r} is missing")
            remedies.append(f"{requires or f'Add it with --set {dotted}=... or in the file.'} ")
        else:
            given = without_secrets({dotted.rpartition(".")[2]: problem["input"]})
            shown = repr(next(iter(given.values()), HIDDEN))
            problems.append(f"{dotted!r}: {problem['msg']} (it is {shown})")
    advice = (
        "".join(dict.fromkeys(remedies)) + "`gaudi-asr help recipes` lists every key and its type."
    )
    return RecipeError(f"{origin}: {'; '.join(problems)}.", remedy=advice)


def list_keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    """List every key of a recipe with its sections, such as `optimizer.learning_rate`."""
    keys = []
    for name, field in model.model_fields.items():
        keys.append(prefix + name)
        options = [field.annotation, *getattr(field.annotation, "__args__", ())]
        for option in options:
            if isinstance(option, type) and issubclass(option, BaseModel):
                keys += list_keys(option, f"{prefix}{name}.")
    return keys


def _suggest_key(dotted: str, keys: list[str]) -> str:
    """Suggest the nearest key: first in the same section, else one of that name anywhere."""
    near = difflib.get_close_matches(dotted, keys, n=1, cutoff=0.8)
    if not near:
        last = {key.rpartition(".")[2]: key for key in reversed(keys)}
        near = [
            last[name] for name in difflib.get_close_matches(dotted.rpartition(".")[2], last, n=1)
        ]
    return f"Did you mean {near[0]!r}? " if near else ""


def _suggest(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"Did you mean {near[0]!r}? " if near else ""

"""Recipes from YAML files and settings: found, merged, checked."""

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
    """A recipe that comes with the package; `about` is the comment on top of its file."""

    name: str
    path: Path
    about: str


def recipe_files() -> list[RecipeFile]:
    """The recipes that come with the package, by name."""
    folder = PACKAGED if PACKAGED.is_dir() else CHECKED_OUT
    return [RecipeFile(path.stem, path, _about(path)) for path in sorted(folder.glob("*.yaml"))]


def _about(path: Path) -> str:
    lines = path.read_text(encoding="utf-8").splitlines()
    return next((line.lstrip("# ") for line in lines if line.startswith("#")), "")


def find_recipe(name_or_file: str) -> Path:
    """The file of a recipe, given by name or path.

    Raises:
        RecipeError: No recipe has that name and no file is there; near names are suggested.
    """
    path = Path(name_or_file)
    if path.suffix in {".yaml", ".yml"} and path.is_file():
        return path
    files = {file.name: file.path for file in recipe_files()}
    if name_or_file in files:
        return files[name_or_file]
    raise RecipeError(
        f"There is no recipe named {name_or_file!r}, and no such file.",
        remedy=_suggest(name_or_file, files) + "`gaudi-asr recipes` lists what there is.",
    )


def read_recipe(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file, unchecked.

    Raises:
        RecipeError: Not YAML, or no mapping; names the line where there is one.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise RecipeError(
            f"{path} is no recipe: its lists or sections are nested too deeply.",
            remedy="`gaudi-asr recipes show digits` prints one to start from.",
        ) from None
    except (yaml.YAMLError, ValueError) as error:
        # ValueError: not UTF-8, a date that there is not, or a number of thousands of digits.
        raise RecipeError(
            f"{path} is no YAML: {error}", remedy="Correct the line that is named."
        ) from error
    if not isinstance(values, dict):
        raise RecipeError(
            f"{path} holds no recipe: a mapping of keys to values was expected.",
            remedy="`gaudi-asr recipes show digits` prints one to start from.",
        )
    return values


def with_settings(values: Mapping[str, Any], settings: Iterable[str]) -> dict[str, Any]:
    """Values with `key.subkey=value` settings laid over them; values are read as YAML.

    Raises:
        RecipeError: A setting without `=`, or one that reaches into something that is no section.
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
    """A value as YAML reads it; 3e-4 is a number too, as everybody means it, "3e-4" is not."""
    try:
        value = yaml.safe_load(text)
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
    here = values
    for section in sections:
        inner = here.get(section)
        if isinstance(inner, str) and section in {"train", "eval", "test"}:
            inner = {"data": inner}
        if inner is None:
            inner = {}
        if not isinstance(inner, dict):
            raise RecipeError(
                f"{setting!r} cannot be set: {section!r} is a value, not a section.",
                remedy=f"Set {section}=... itself.",
            )
        here[section] = inner
        here = inner
    here[last] = value


def load_recipe(name_or_file: str, settings: Iterable[str] = ()) -> TrainingRecipe:
    """The recipe of that name or file, what it extends, and settings on top, checked.

    Raises:
        RecipeError: No such recipe, or something in it or in the settings is wrong.
    """
    values = with_settings(read_extended(find_recipe(name_or_file)), settings)
    return check_recipe(values, origin=name_or_file)


def read_extended(path: Path) -> dict[str, Any]:
    """What a file says together with what it extends, unchecked; named like the file unless named.

    Raises:
        RecipeError: A file is no recipe, or extends itself.
    """
    return {"name": path.stem, **_extended(path, ())}


_OF_ONE_FILE = ("name", "published")
"""Keys that a recipe does not take from the one that it extends."""


def _extended(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    if path in seen:
        raise RecipeError(
            f"{path} extends itself.", remedy="Remove the `extends` that closes the circle."
        )
    values = read_recipe(path)
    base = values.pop("extends", None)
    if base is None:
        return values
    below = _extended(find_recipe(str(base)), (*seen, path))
    inherited = {key: value for key, value in below.items() if key not in _OF_ONE_FILE}
    return _laid_over(inherited, values)


def with_secrets(recipe: TrainingRecipe, secrets: Mapping[str, Any]) -> TrainingRecipe:
    """Return the recipe with what `dump_recipe` left out."""
    if not secrets:
        return recipe
    values = _laid_over(recipe.model_dump(mode="json"), secrets)
    return check_recipe(values, origin="the recipe with its secrets")


def _laid_over(base: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    merged = _deep_copy(base)
    for key, value in values.items():
        inner = merged.get(key)
        if isinstance(inner, Mapping) and isinstance(value, Mapping):
            merged[key] = _laid_over(inner, value)
        else:
            merged[key] = value
    return merged


def check_recipe(values: Mapping[str, Any], *, origin: str) -> TrainingRecipe:
    """A recipe whose names and types are right.

    Raises:
        RecipeError: Unknown kind or key (with the nearest name), wrong type, missing data.
    """
    kind = values.get("kind", "finetune-ctc")
    if kind not in KINDS:
        raise _wrong_kind(kind, origin)
    return _validate(KINDS[kind], _spell_out_data(values), origin)


def load_options(name_or_file: str, command: str) -> dict[str, Any]:
    """What a recipe of a command that trains nothing says: options of that command, by name.

    Raises:
        RecipeError: No such recipe, it is another command's, or something in it is wrong.
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
            f"{origin} is a recipe for {kind}.", remedy=f"Give it to gaudi-asr {kind} --recipe."
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


def _spell_out_data(values: Mapping[str, Any]) -> dict[str, Any]:
    """`train: x` as `train: {data: x}`; `test: {split: test}` as that split of what trains."""
    spelt = {
        key: {"data": value}
        if key in {"train", "eval", "test"} and isinstance(value, (str, list))
        else value
        for key, value in values.items()
    }
    train = spelt.get("train")
    for key in ("eval", "test"):
        section = spelt.get(key)
        if isinstance(train, Mapping) and isinstance(section, Mapping) and "split" in section:
            where = {name: value for name, value in train.items() if name in _PLACE}
            spelt[key] = section if "data" in section else {**where, **section}
    return spelt


_PLACE = ("data", "config", "text_column")


def _check_unknown(recipe: Recipe, origin: str) -> None:
    """What is said to be unknown must be something that a recipe can say."""
    known = list_keys(type(recipe))
    for key in recipe.published.unknown if recipe.published else ():
        if key not in known:
            raise RecipeError(
                f"{origin}: published.unknown names {key!r}, which is no key of a recipe.",
                remedy=_suggest(key, known) + "gaudi-asr help recipes lists every key.",
            )


def dump_recipe(recipe: Recipe) -> str:
    """A recipe as YAML that reads back to the same recipe, but for secrets, which are left out."""
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
            remedies.append(f"{requires or f'Give it with --set {dotted}=... or in the file.'} ")
        else:
            given = without_secrets({dotted.rpartition(".")[2]: problem["input"]})
            shown = repr(next(iter(given.values()), HIDDEN))
            problems.append(f"{dotted!r}: {problem['msg']} (it is {shown})")
    advice = (
        "".join(dict.fromkeys(remedies)) + "gaudi-asr help recipes lists every key and its type."
    )
    return RecipeError(f"{origin}: {'; '.join(problems)}.", remedy=advice)


def list_keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    """Every key of a recipe with its sections, such as `optimizer.learning_rate`."""
    keys = []
    for name, field in model.model_fields.items():
        keys.append(prefix + name)
        options = [field.annotation, *getattr(field.annotation, "__args__", ())]
        for option in options:
            if isinstance(option, type) and issubclass(option, BaseModel):
                keys += list_keys(option, f"{prefix}{name}.")
    return keys


def _suggest_key(dotted: str, keys: list[str]) -> str:
    """The nearest key there is: of the same section first, else of that name anywhere."""
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

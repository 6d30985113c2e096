"""Describe the recipes that the package ships, without full validation.

A recipe may require data that cannot be distributed; it is listed all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gaudi_asr_cli.core.recipes.loading import RecipeFile, read_extended, recipe_files
from gaudi_asr_cli.core.recipes.schema import PublishedSection

YOURS = "your own"


@dataclass(frozen=True, slots=True)
class RecipeInfo:
    """A summary of a recipe: its task, model and data, and the published result, if any."""

    file: RecipeFile
    kind: str
    model: str
    data: str
    requires: str
    published: PublishedSection | None

    @property
    def name(self) -> str:
        return self.file.name

    @property
    def cards(self) -> int | None:
        return self.published.cards if self.published else None

    @property
    def minutes(self) -> float | None:
        return self.published.minutes if self.published else None

    def to_json(self) -> dict[str, Any]:
        published = self.published
        return {
            "name": self.name,
            "about": self.file.about,
            "path": str(self.file.path),
            "kind": self.kind,
            "model": self.model,
            "data": self.data,
            "requires": self.requires or None,
            "published": None if published is None else published.model_dump(mode="json"),
        }


def describe_recipes() -> list[RecipeInfo]:
    """Describe every recipe that the package ships, by name."""
    return [describe_recipe(file) for file in recipe_files()]


def describe_recipe(file: RecipeFile) -> RecipeInfo:
    """Describe a recipe, with the recipe that it extends."""
    values = read_extended(file.path)
    section = values.get("published")
    published = None if section is None else PublishedSection.model_validate(section)
    return RecipeInfo(
        file=file,
        kind=str(values.get("kind", "finetune-ctc")),
        model=_name_model(values),
        data=_name_data(values, published),
        requires=str(values.get("requires", "")),
        published=published,
    )


def _name_model(values: Mapping[str, Any]) -> str:
    if "encoder" in values:
        return f"{values['encoder']} + {values.get('decoder')}"
    return str(values.get("model", YOURS))


def _name_data(values: Mapping[str, Any], published: PublishedSection | None) -> str:
    """Return the recipe's data as on a command line, else the published data, else `YOURS`."""
    if "encoder" in values:
        return "-"
    named = name_data(values.get("train", values))
    if named:
        return named
    return f"{published.data} (to be brought)" if published and values.get("requires") else YOURS


def name_data(section: Any) -> str:
    """Format a data section in one line: `openslr/librispeech_asr clean train.100`, or nothing."""
    if isinstance(section, (str, list)):
        section = {"data": section}
    data = section.get("data")
    if not data:
        return ""
    sources = [data] if isinstance(data, str) else list(data)
    parts = [" + ".join(map(str, sources)), section.get("config"), section.get("split")]
    return " ".join(str(part) for part in parts if part)

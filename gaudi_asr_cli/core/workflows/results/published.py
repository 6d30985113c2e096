"""Comparison of a run with published results: which rows apply, and how the run differs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from gaudi_asr_cli.core.recipes.catalogue import RecipeInfo
from gaudi_asr_cli.core.recipes.loading import load_recipe
from gaudi_asr_cli.core.recipes.schema import PublishedSection
from gaudi_asr_cli.core.workflows.results.runs import RunResult

Verdict = Literal["comparable", "with care", "not comparable"]
DECISIVE = frozenset({"unit", "model", "training data", "split", "coverage"})
"""If one of these differs, two error rates cannot be compared."""
_ABOUT = frozenset(
    {"name", "requires", "published", "kind", "model", "eval", "test"}
    | {"data", "config", "text_column"}
)
"""Recipe keys that are not training settings, or have an aspect of their own."""


@dataclass(frozen=True, slots=True)
class Aspect:
    """A property of two results; `same` is None if one of them does not state it."""

    name: str
    here: str
    there: str
    same: bool | None


@dataclass(frozen=True, slots=True)
class PublishedComparison:
    """A run compared with the published result of a recipe; `difference` is ours minus theirs."""

    recipe: RecipeInfo
    difference: float | None
    aspects: tuple[Aspect, ...]

    @property
    def published(self) -> PublishedSection:
        assert self.recipe.published is not None  # noqa: S101 - only recipes with one are compared
        return self.recipe.published

    @property
    def verdict(self) -> Verdict:
        """Whether the error rates can be compared; hardware only affects time."""
        judged = [one for one in self.aspects if one.name != "hardware"]
        if any(one.same is False and one.name in DECISIVE for one in judged):
            return "not comparable"
        return "comparable" if all(one.same for one in judged) else "with care"

    def to_json(self) -> dict[str, Any]:
        return {
            "recipe": self.recipe.name,
            "published": self.published.model_dump(mode="json", exclude_defaults=True),
            "difference": self.difference,
            "verdict": self.verdict,
            "aspects": [asdict(one) for one in self.aspects],
        }


def published_rate(published: PublishedSection) -> float | None:
    """Return the published phoneme error rate, else the word error rate."""
    return published.wer if published.per is None else published.per


def find_comparisons(
    result: RunResult, recipes: Sequence[RecipeInfo]
) -> tuple[PublishedComparison, ...]:
    """Return the published row of the run's recipe, else rows of its model and training data.

    Rows without an error rate are left out.
    """
    rated = [
        one
        for one in recipes
        if one.published and published_rate(one.published) is not None
        if _task_of(one.kind) == _task_of(result.kind)
    ]
    own = [one for one in rated if _is_own(result, one)]
    similar = [
        one for one in rated if one.model == result.base and _same_training(result, one) is True
    ]
    return tuple(_compare_with_published(result, one) for one in own or similar)


def _task_of(kind: str) -> str:
    """Return the task of a recipe or report, the end of its name: the published benches are CTC."""
    return kind.rpartition("-")[2] if "-" in kind else "ctc"


def _is_own(result: RunResult, recipe: RecipeInfo) -> bool:
    stated = (result.recipe or {}).get("published") or {}
    published = recipe.published
    return (
        published is not None
        and bool(published.lines)
        and stated.get("document") == published.document
        and tuple(stated.get("lines", ())) == published.lines
    )


def _compare_with_published(result: RunResult, recipe: RecipeInfo) -> PublishedComparison:
    published = recipe.published
    assert published is not None  # noqa: S101 - chosen because it has one
    theirs = published_rate(published)
    known = result.rate is not None and theirs is not None
    return PublishedComparison(
        recipe=recipe,
        difference=result.rate - theirs if known else None,  # type: ignore[operator]
        aspects=tuple(_compare(result, recipe, published)),
    )


def _compare(
    result: RunResult, recipe: RecipeInfo, published: PublishedSection
) -> Iterator[Aspect]:
    unit = "word" if published.per is None else "phoneme"
    yield Aspect("unit", result.unit, unit, result.unit == unit)
    yield Aspect("model", result.base or "?", recipe.model, result.base == recipe.model)
    trained = _same_training(result, recipe)
    yield Aspect("training data", result.train or "?", published.data, trained)
    yield _compare_split(result, published)
    yield _compare_coverage(result)
    yield Aspect(
        "normaliser",
        result.normalizer or "?",
        published.normalizer or "not named",
        None if published.normalizer is None else result.normalizer == published.normalizer,
    )
    yield _compare_settings(result, recipe, published)
    here = f"{result.cards} x {result.device or '?'}"
    there = f"{published.cards or '?'} x {published.hardware or 'not named'}"
    yield Aspect("hardware", here, there, here == there)


def _same_training(result: RunResult, recipe: RecipeInfo) -> bool | None:
    """Return whether the training data is the same; None if a local path may be a copy of it."""
    if not result.train:
        return None
    if result.train == recipe.data:
        return True
    return None if _is_own(result, recipe) and _is_local(result.train) else False


def _is_local(data: str) -> bool:
    path = data.split()[0]
    return path.startswith(("/", ".")) or ":" in path


def _compare_split(result: RunResult, published: PublishedSection) -> Aspect:
    here, there = result.split, published.split
    same = None if here is None or there is None else _plain(here) == _plain(there)
    return Aspect("split", here or "not named", there or "not named", same)


def _plain(split: str) -> str:
    return {"dev": "validation", "valid": "validation"}.get(split, split)


def _compare_coverage(result: RunResult) -> Aspect:
    scored, total = result.utterances, result.utterances_total
    if scored is None or total is None:
        return Aspect("coverage", "?", "all", None)
    here = "all" if scored == total else f"{scored:,} of {total:,}"
    return Aspect("coverage", here, "all", scored == total)


def _compare_settings(result: RunResult, recipe: RecipeInfo, published: PublishedSection) -> Aspect:
    """Compare the settings of the run with those of the published recipe."""
    unknown = ", ".join(published.unknown)
    there = f"not published: {unknown}" if unknown else "as the recipe has them"
    if result.recipe is None:
        return Aspect("settings", "not known", there, None)
    written = load_recipe(recipe.name, ["train.data=_"]).model_dump(mode="json")
    changed = sorted(_find_changes(result.recipe, written))
    here = f"changed: {', '.join(changed)}" if changed else "as the recipe has them"
    return Aspect("settings", here, there, None if unknown else not changed)


def _find_changes(ours: Mapping[str, Any], written: Mapping[str, Any]) -> Iterator[str]:
    """Yield the dotted keys, other than data, whose values differ."""
    for key, value in written.items():
        mine = ours.get(key)
        if key in _ABOUT:
            continue
        if isinstance(value, Mapping) and isinstance(mine, Mapping):
            yield from (f"{key}.{inner}" for inner in _find_changes(mine, value))
        elif mine != value:
            yield key

"""`results`: the runs of a folder beside what was published."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.recipes.catalogue import RecipeInfo, describe_recipes
from gaudi_asr_cli.core.workflows.results.published import (
    PublishedComparison,
    find_comparisons,
    published_rate,
)
from gaudi_asr_cli.core.workflows.results.runs import Found, RunResult, read_runs


@dataclass(frozen=True, slots=True)
class Entry:
    """A score of a run, and the published rows it can be laid beside."""

    result: RunResult
    beside: tuple[PublishedComparison, ...]


@dataclass(frozen=True, slots=True)
class ResultsReport:
    """Every run of the folder, every published row, and what could not be read."""

    folder: Path
    entries: tuple[Entry, ...]
    published: tuple[RecipeInfo, ...]
    found: Found

    def runs_of(self, recipe: RecipeInfo) -> tuple[Entry, ...]:
        """The runs that are laid beside what was published for the recipe."""
        return tuple(
            entry
            for entry in self.entries
            if any(one.recipe.name == recipe.name for one in entry.beside)
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": "results/1",
            "folder": str(self.folder),
            "runs": [
                {**one.result.to_json(), "beside": [row.to_json() for row in one.beside]}
                for one in self.entries
            ],
            "published": [
                {**one.to_json(), "runs": [str(run.result.run) for run in self.runs_of(one)]}
                for one in self.published
            ],
            "unfinished": [str(path) for path in self.found.unfinished],
            "unreadable": [str(path) for path in self.found.unreadable],
        }


DEFAULT_FOLDER = Path("runs")


def collect_results(folder: Path | None = None) -> ResultsReport:
    """Read the reports below `folder` and lay each beside the published rows it belongs to.

    Without a folder those of `runs/` here, of which there may be none yet.

    Raises:
        DataError: There is no such folder.
    """
    if folder is not None and not folder.is_dir():
        raise DataError(
            f"There is no folder {folder}.",
            remedy="Name one that holds runs: gaudi-asr results DIR. Runs go to runs/ unless told.",
        )
    recipes = describe_recipes()
    found = read_runs(folder or DEFAULT_FOLDER)
    return ResultsReport(
        folder=folder or DEFAULT_FOLDER,
        entries=tuple(Entry(one, find_comparisons(one, recipes)) for one in found.results),
        published=tuple(
            one for one in recipes if one.published and published_rate(one.published) is not None
        ),
        found=found,
    )

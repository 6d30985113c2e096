"""`results`: compare the runs of a folder with published results."""

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
    """A score of a run, and the published rows that it is compared with."""

    result: RunResult
    comparisons: tuple[PublishedComparison, ...]


@dataclass(frozen=True, slots=True)
class ResultsReport:
    """Every run of the folder, every published row, and reports that could not be read."""

    folder: Path
    entries: tuple[Entry, ...]
    published: tuple[RecipeInfo, ...]
    found: Found

    def runs_of(self, recipe: RecipeInfo) -> tuple[Entry, ...]:
        """Return the runs that are compared with the published result of the recipe."""
        return tuple(
            entry
            for entry in self.entries
            if any(one.recipe.name == recipe.name for one in entry.comparisons)
        )

    def compared_recipes(self) -> tuple[RecipeInfo, ...]:
        """Return the recipes whose published result a run here is compared with."""
        return tuple(one for one in self.published if self.runs_of(one))

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": "results/1",
            "folder": str(self.folder),
            "runs": [
                {**one.result.to_json(), "beside": [row.to_json() for row in one.comparisons]}
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
    """Read the reports below `folder` and compare each with the matching published rows.

    The default folder is `runs/`, which may not exist yet.

    Raises:
        DataError: There is no such folder.
    """
    if folder is not None and not folder.is_dir():
        raise DataError(
            f"There is no folder {folder}.",
            remedy="Name a folder of runs: gaudi-asr results DIR. The default is runs/.",
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

"""What the model card of a run says, from its recipe and its scores."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePath

import yaml

from gaudi_asr_cli.core.data.sources import parse_source
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.local_paths import hide_local_paths
from gaudi_asr_cli.core.models.folder import is_hub_model
from gaudi_asr_cli.core.recipes.keys import SCRATCH
from gaudi_asr_cli.core.recipes.loading import dump_recipe
from gaudi_asr_cli.core.recipes.schema import DataSection, TrainingRecipe
from gaudi_asr_cli.core.records import Score
from gaudi_asr_cli.core.training.card import CardFacts, CardSource, CardSplit
from gaudi_asr_cli.core.training.session import TrainingOutcome
from gaudi_asr_cli.core.workflows.finetune.job import Job

_CODE = re.compile(r"[a-z]{2,3}")


def card_facts(
    name: str, job: Job, outcome: TrainingOutcome, scores: Mapping[str, Score]
) -> CardFacts:
    """Return what the card of a run says.

    Args:
        name: Name of the run.
        job: What was trained.
        outcome: How training ended.
        scores: Scores by name of the split.
    """
    recipe = job.recipe
    sections = {"eval": recipe.eval, "test": recipe.test}
    return CardFacts(
        kind=job.task.kind,
        name=name,
        base=recipe.model if recipe.model != SCRATCH and is_hub_model(recipe.model) else None,
        from_scratch=recipe.model == SCRATCH,
        sources=card_sources(recipe.train),
        hours=job.training_set.audio_s / 3600,
        steps=outcome.steps,
        recipe=shareable_recipe(recipe),
        splits={key: _card_split(sections[key], score) for key, score in scores.items()},
        language=find_language_code(recipe.language or recipe.text.language),
        selected_on="eval" if outcome.best_step is not None else None,
    )


def card_sources(section: DataSection) -> tuple[CardSource, ...]:
    """Return the sources of a data section: hub ids, and the names of local data."""
    return tuple(map(_card_source, section.sources))


def _card_source(source: str) -> CardSource:
    try:
        parsed = parse_source(source)
    except DataError:
        # Moved since it was read.
        return CardSource(PurePath(source.partition("#")[0]).name)
    place = parsed.place.as_posix()
    if parsed.layout == "hub":
        return CardSource(place, hub_id=place)
    return CardSource(parsed.layout if place in {"", "."} else parsed.place.name)


def _card_split(section: DataSection | None, score: Score) -> CardSplit:
    assert section is not None  # noqa: S101 - only data of the recipe is scored
    names = [source.rpartition("#")[2] for source in section.sources if "#" in source]
    own = names[0] if len(section.sources) == len(names) == 1 else None
    return CardSplit(card_sources(section), score, section.config, own or section.split)


def shareable_recipe(recipe: TrainingRecipe) -> str:
    """Return a recipe as YAML for others: without secrets, and no path of this machine."""
    values = yaml.safe_load(dump_recipe(recipe))
    for key in ("requires", "published"):
        values.pop(key, None)
    # The text section has characters, some of which look like a path.
    characters = values.pop("text")
    hidden = {
        **{name: hide_local_paths(value) for name, value in values.items()},
        "text": characters,
    }
    return yaml.safe_dump(hidden, sort_keys=False, allow_unicode=True, width=100)


def find_language_code(language: str | None) -> str | None:
    """Return the ISO 639 code of a language given as a code or an English name; None: unknown."""
    if not language:
        return None
    name = language.strip().lower().removeprefix("<|").removesuffix("|>")
    first = re.split(r"[-_]", name)[0]
    if _CODE.fullmatch(first):
        return first
    from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

    code: str | None = TO_LANGUAGE_CODE.get(name)
    return code

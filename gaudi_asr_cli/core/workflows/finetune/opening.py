"""A training run's folder and recipe: new, or taken up again only if it is still the same run."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from gaudi_asr_cli.core.distributed.handover import Handover
from gaudi_asr_cli.core.errors import RecipeError, UsageError
from gaudi_asr_cli.core.events import Event, Observer
from gaudi_asr_cli.core.json_text import json_text
from gaudi_asr_cli.core.recipes.in_place import (
    InPlace,
    check_all_used,
    place_model,
    place_split,
)
from gaudi_asr_cli.core.recipes.loading import (
    check_recipe,
    dump_recipe,
    load_recipe,
    read_recipe,
    with_secrets,
    with_settings,
)
from gaudi_asr_cli.core.recipes.schema import DataSection, TrainingRecipe
from gaudi_asr_cli.core.runs import RunFolder, write_json, write_whole
from gaudi_asr_cli.core.secret_values import (
    handed_secrets,
    hide_in_words,
    only_secrets,
    without_secrets,
)
from gaudi_asr_cli.core.training.environment import (
    describe_environment,
    fingerprint_data,
    fingerprint_text,
)
from gaudi_asr_cli.core.training.examples import RejectedExample
from gaudi_asr_cli.core.workflows.finetune.job import Job

SPLIT_KEYS = ("train", "eval", "test")
"""The data of a recipe."""


@dataclass(frozen=True, slots=True)
class FinetuneRequest:
    """What to train: a recipe by name or file with settings on top, and where.

    With `resume` the recipe is the run's own; one that is given beside it must say the same.
    `kind` is the command, which takes recipes of its kind alone.
    `in_place` stands for models and data that are named. `former_pattern` is what an old script
    would have removed from the text: what that is in the data is told.
    `handover` is the folder in which a launch left what it prepared for its ranks; the run folder
    is there already then, and what was begun in it is gone on with.
    """

    recipe: str | None = None
    settings: tuple[str, ...] = ()
    run: Path | None = None
    resume: bool = False
    kind: str = "finetune-ctc"
    in_place: tuple[InPlace, ...] = ()
    former_pattern: str | None = None
    handover: Path | None = None


def require_new_run(request: FinetuneRequest) -> None:
    """Say that the run folder is taken before any work is done for it.

    Raises:
        UsageError: A new run's folder exists.
    """
    if request.run is not None and not request.resume and request.handover is None:
        RunFolder.reject_existing(request.run)


def resolve_recipe(request: FinetuneRequest) -> TrainingRecipe:
    """The recipe of the request; bare, the demo; resumed, the run's own.

    Raises:
        RecipeError: The recipe is wrong, or says something else than the run that is resumed.
    """
    handed = handed_secrets() if request.handover is not None else {}
    if not request.resume:
        return with_secrets(of_kind(absolute(asked_recipe(request)), request.kind), handed)
    if request.run is None:
        raise UsageError("--resume needs the run's folder.", remedy="Name it with --run DIR.")
    folder = RunFolder.existing(request.run)
    stored = check_recipe(read_recipe(folder.recipe), origin=str(folder.recipe))
    of_kind(stored, request.kind)
    if request.recipe is not None:
        asked = absolute(asked_recipe(request))
    else:
        values = with_settings(stored.model_dump(mode="json"), request.settings)
        asked = absolute(check_recipe(values, origin="the settings"))
    # Secrets were not written: those of this command line are taken.
    old, new = (without_secrets(one.model_dump(mode="json")) for one in (stored, asked))
    different = [key for key in type(stored).model_fields if new.get(key) != old.get(key)]
    if different:
        raise RecipeError(
            f"The run in {folder.root} was started with another {', '.join(different)}.",
            remedy="Resume it without options of its own, or start a new run with another --run.",
        )
    return with_secrets(stored, {**only_secrets(asked.model_dump(mode="json")), **handed})


def asked_recipe(request: FinetuneRequest) -> TrainingRecipe:
    """The new recipe with local models and data in place of those that it names.

    Raises:
        RecipeError: The recipe is wrong.
        UsageError: A replacement is of nothing that it names.
    """
    recipe = new_recipe(request)
    parts = {name: part for name in SPLIT_KEYS if (part := getattr(recipe, name)) is not None}
    sources = [source for part in parts.values() for source in part.sources]
    check_all_used(request.in_place, [recipe.model], sources)
    return recipe.model_copy(
        update={
            "model": place_model(recipe.model, request.in_place),
            **{name: place_split(part, request.in_place) for name, part in parts.items()},
        }
    )


def new_recipe(request: FinetuneRequest) -> TrainingRecipe:
    """The recipe that is named; without a name the demo, or with data of one's own the defaults."""
    if request.recipe is not None:
        return load_recipe(request.recipe, request.settings)
    has_data = any(setting.startswith(("train=", "train.data=")) for setting in request.settings)
    if has_data or request.kind != "finetune-ctc":
        values = with_settings({"kind": request.kind}, request.settings)
        return check_recipe(values, origin="the command line")
    return load_recipe("demo", request.settings)


def of_kind(recipe: TrainingRecipe, kind: str) -> TrainingRecipe:
    """The recipe, if it is what the command trains.

    Raises:
        RecipeError: It is another command's.
    """
    if recipe.kind != kind:
        raise RecipeError(
            f"{kind} does not train a recipe of kind {recipe.kind}.",
            remedy=f"Give it to gaudi-asr {recipe.kind}.",
        )
    return recipe


def absolute(recipe: TrainingRecipe) -> TrainingRecipe:
    """The recipe with local paths spelt out, so that it means the same from any folder."""

    def expanded(source: str) -> str:
        path, mark, split = source.partition("#")
        return f"{Path(path).resolve()}{mark}{split}" if Path(path).exists() else source

    def moved(data: DataSection | None) -> DataSection | None:
        if data is None:
            return None
        return data.model_copy(update={"data": [expanded(source) for source in data.sources]})

    return recipe.model_copy(update={name: moved(getattr(recipe, name)) for name in SPLIT_KEYS})


def open_folder(request: FinetuneRequest, job: Job) -> RunFolder:
    """A new run folder with the run's description, or the one that is resumed.

    Raises:
        UsageError: The folder exists, or cannot be made.
        RecipeError: The data or the vocabulary is not what the run was started with.
    """
    recipe_text = dump_recipe(job.recipe)
    identity = {
        "data": fingerprint_data(job.training_set.utterances),
        "vocabulary": job.task.vocabulary_hash,
        "recipe": fingerprint_text(recipe_text),
    }
    folder = place_run(request, job.recipe.name)
    if folder.recipe.is_file():
        check_identity(folder, identity, job.task.device.ranks.count)
        return folder
    folder.checkpoints.mkdir(exist_ok=True)
    environment = describe_environment(job.task.device, hide_in_words(given_command(request)))
    write_json(folder.environment, {**environment, "seed": job.recipe.seed, "hashes": identity})
    write_refused(folder, job.refused)
    # Last: a folder with a recipe in it is one that can be resumed.
    write_whole(folder.recipe, recipe_text)
    return folder


def given_command(request: FinetuneRequest) -> list[str]:
    """What the user typed, here or where this rank was launched."""
    if request.handover is None:
        return sys.argv
    words: list[str] = json.loads(Handover(request.handover).command.read_text(encoding="utf-8"))
    return words


def place_run(request: FinetuneRequest, name: str) -> RunFolder:
    """The folder itself: made if it is a new run's, else the one that is there.

    Raises:
        UsageError: A new one exists, or cannot be made; or there is none to resume.
    """
    if request.run is None:
        return RunFolder.create_numbered(name)
    if request.resume:
        return RunFolder.existing(request.run)
    return RunFolder.create(request.run) if request.handover is None else RunFolder(request.run)


def write_refused(folder: RunFolder, refused: tuple[RejectedExample, ...]) -> None:
    """List what is not trained on, and why."""
    lines = [json_text(asdict(one)) + "\n" for one in refused]
    write_whole(folder.skipped, "".join(lines))


def check_identity(folder: RunFolder, identity: dict[str, str], ranks: int = 1) -> None:
    """Refuse to go on with a run whose data, vocabulary or number of ranks has changed under it."""
    environment = json.loads(folder.environment.read_text(encoding="utf-8"))
    before, stored = environment.get("ranks", 1), environment["hashes"]
    if ranks != before:
        raise RecipeError(
            f"The run in {folder.root} was started on {before} cards, not on {ranks}.",
            remedy=f"Go on with as many (--cards {before} on one node): steps would not be the "
            "same with others.",
        )
    changed = [name for name, value in identity.items() if stored.get(name) != value]
    if changed:
        raise RecipeError(
            f"The run in {folder.root} was started with other {' and '.join(changed)}.",
            remedy="Bring back what it was started with, or start a new run.",
        )


def recording(observe: Observer, folder: RunFolder) -> Observer:
    """Tell the observer and write it down."""

    def told(event: Event) -> None:
        observe(event)
        folder.record(event)

    return told

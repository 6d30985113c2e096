"""The folder and the recipe of a training run, new or resumed."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from shutil import rmtree
from typing import Any

from gaudi_asr_cli.core.data.paths import expand_home
from gaudi_asr_cli.core.distributed.handover import Handover
from gaudi_asr_cli.core.errors import RecipeError, UsageError
from gaudi_asr_cli.core.events import Event, Noticed, Observer
from gaudi_asr_cli.core.json_files import read_json_object
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
from gaudi_asr_cli.core.recipes.schema import CtcRecipe, DataSection, TrainingRecipe
from gaudi_asr_cli.core.run_lock import hold_lock
from gaudi_asr_cli.core.runs import RunFolder
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
from gaudi_asr_cli.core.whole_files import remove_parts, write_json, write_whole
from gaudi_asr_cli.core.workflows.finetune.job import Job

SPLIT_KEYS = ("train", "eval", "test")
"""The keys of a recipe that name data."""


@dataclass(frozen=True, slots=True)
class FinetuneRequest:
    """A recipe by name or file with settings on top, and the run folder.

    With `resume` the recipe is that of the run; one that is given too must be equal. `kind` is the
    command, which only accepts recipes of its kind. `in_place` replaces models and data that the
    recipe names. `former_pattern` is the regular expression of characters that an old script
    removed: how often they occur in the data is reported. `handover` is the folder with the
    prepared data of a launcher; the run folder exists then, and a started run is continued.
    """

    recipe: str | None = None
    settings: tuple[str, ...] = ()
    run: Path | None = None
    resume: bool = False
    kind: str = "finetune-ctc"
    in_place: tuple[InPlace, ...] = ()
    former_pattern: str | None = None
    handover: Path | None = None


RANKS_END_S = 15.0
"""Time to wait for the ranks of a launch that was killed, which end by themselves."""


def claim_run(request: FinetuneRequest, held: ExitStack, observe: Observer) -> None:
    """Lock the folder of a resumed run, before any work is done; that of a new one must not exist.

    Args:
        request: The training run.
        held: Gets the locks.
        observe: Receives a notice where the file system has no locks.

    Raises:
        UsageError: The folder exists, or another process trains in it.
    """
    if request.handover is not None and request.run is not None:
        # The launching process holds the other lock.
        lock = RunFolder(request.run).rank_lock
        held.enter_context(hold_lock(lock, wait_s=RANKS_END_S))
    elif request.resume and request.run is not None:
        lock_run(RunFolder.existing(request.run), held, observe)
    elif request.run is not None:
        RunFolder.reject_existing(request.run)


def lock_run(folder: RunFolder, held: ExitStack, observe: Observer) -> None:
    """Lock a run folder against other commands, and wait for ranks that outlive their launcher.

    Raises:
        UsageError: Another process trains in it.
    """
    if not held.enter_context(hold_lock(folder.lock)):
        observe(
            Noticed(
                f"The file system of {folder.root} has no locks.",
                remedy="Make sure that no other command resumes this run at the same time: each "
                "would delete checkpoints of the other.",
            )
        )
    with hold_lock(folder.rank_lock, wait_s=RANKS_END_S):
        remove_parts(folder.root)


def keep_nothing(error: BaseException) -> bool:
    """Return that no error makes a run folder worth keeping where training has not begun."""
    return False


@contextmanager
def unstarted_removed(
    folder: RunFolder, *, new: bool, keep: Callable[[BaseException], bool] = keep_nothing
) -> Iterator[None]:
    """Remove a `new` run folder if the block fails before training has begun.

    Otherwise it could be neither started, because it exists, nor resumed, because it fails again.
    `keep` returns whether an error sends the user to files in the folder.
    """
    try:
        yield
    except BaseException as error:
        if new and not folder.has_trained() and not keep(error):
            rmtree(folder.root, ignore_errors=True)
        raise


def resolve_recipe(request: FinetuneRequest) -> TrainingRecipe:
    """Return the recipe of the request: the demo by default, that of the run if resumed.

    Raises:
        RecipeError: The recipe is invalid, or differs from that of the resumed run.
    """
    handed = handed_secrets() if request.handover is not None else {}
    if not request.resume:
        return with_secrets(of_kind(absolute(requested_recipe(request)), request.kind), handed)
    if request.run is None:
        raise UsageError("--resume needs the run's folder.", remedy="Name it with --run DIR.")
    folder = RunFolder.existing(request.run)
    stored = check_recipe(read_recipe(folder.recipe), origin=str(folder.recipe))
    of_kind(stored, request.kind)
    if request.recipe is not None:
        requested = absolute(requested_recipe(request))
    else:
        values = with_settings(stored.model_dump(mode="json"), request.settings)
        requested = absolute(check_recipe(values, origin="the settings"))
    # Secrets were not written: use those of this command line.
    old, new = (without_secrets(one.model_dump(mode="json")) for one in (stored, requested))
    different = [key for key in type(stored).model_fields if new.get(key) != old.get(key)]
    if different:
        require_unchanged_recipe(folder)
        raise RecipeError(
            f"The run in {folder.root} was started with another {', '.join(different)}.",
            remedy="Resume it without other options, or start a new run with another --run.",
        )
    return with_secrets(stored, {**only_secrets(requested.model_dump(mode="json")), **handed})


def requested_recipe(request: FinetuneRequest) -> TrainingRecipe:
    """Return the new recipe with models and data replaced by `in_place`.

    Raises:
        RecipeError: The recipe is invalid.
        UsageError: A replacement is for a name that the recipe does not have.
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
    """Load the named recipe; without a name, the defaults if data is given, else the demo."""
    if request.recipe is not None:
        return load_recipe(request.recipe, request.settings)
    has_data = any(setting.startswith(("train=", "train.data=")) for setting in request.settings)
    if has_data or request.kind != "finetune-ctc":
        values = with_settings({"kind": request.kind}, request.settings)
        return check_recipe(values, origin="the command line")
    return load_recipe("demo", request.settings)


def of_kind(recipe: TrainingRecipe, kind: str) -> TrainingRecipe:
    """Return the recipe, if the command trains its kind.

    Raises:
        RecipeError: The recipe is for another command.
    """
    if recipe.kind != kind:
        raise RecipeError(
            f"{kind} does not train a recipe of kind {recipe.kind}.",
            remedy=f"Use gaudi-asr {recipe.kind}.",
        )
    return recipe


def absolute(recipe: TrainingRecipe) -> TrainingRecipe:
    """Return the recipe with absolute local paths, so that it is valid from any folder."""

    def expanded(source: str) -> str:
        path, mark, split = source.partition("#")
        return f"{Path(path).resolve()}{mark}{split}" if Path(path).exists() else source

    def with_absolute_paths(data: DataSection | None) -> DataSection | None:
        if data is None:
            return None
        return data.model_copy(update={"data": [expanded(source) for source in data.sources]})

    changed: dict[str, Any] = {
        name: with_absolute_paths(getattr(recipe, name)) for name in SPLIT_KEYS
    }
    if isinstance(recipe, CtcRecipe):
        files = {"lm": recipe.decoding.lm, "hotwords": recipe.decoding.hotwords}
        found = {name: _absolute_file(value) for name, value in files.items() if value}
        changed["decoding"] = recipe.decoding.model_copy(update=found)
    return recipe.model_copy(update=changed)


def _absolute_file(name: str) -> str:
    """Return the absolute path of a file or folder; a list of words stays as it is."""
    path = expand_home(name)
    # Unlike Path.exists this is false, not an error, for what cannot be the name of a file.
    return str(path.resolve()) if os.path.exists(path) else name  # noqa: PTH110


def open_folder(
    request: FinetuneRequest, job: Job, held: ExitStack, observe: Observer
) -> RunFolder:
    """Create the run folder with recipe and environment, or check the one that is resumed.

    The lock of a new folder is added to `held`.

    Raises:
        UsageError: The folder exists, or cannot be created.
        RecipeError: The data or the vocabulary has changed since the run was started.
    """
    recipe_text = dump_recipe(job.recipe)
    identity = {
        "data": fingerprint_data(job.training_set.utterances),
        "vocabulary": job.task.vocabulary_hash,
        "recipe": fingerprint_text(recipe_text),
    }
    folder = find_run_folder(request, job.recipe.name)
    if folder.recipe.is_file():
        check_identity(folder, identity, job.task.device.ranks.count)
        return folder
    is_new = request.handover is None
    if is_new:
        lock_run(folder, held, observe)
    environment = describe_environment(job.task.device, hide_in_words(given_command(request)))
    with unstarted_removed(folder, new=is_new):
        folder.checkpoints.mkdir(exist_ok=True)
        write_json(folder.environment, {**environment, "seed": job.recipe.seed, "hashes": identity})
        write_skipped(folder, job.skipped)
        # Last: a folder with a recipe can be resumed.
        write_whole(folder.recipe, recipe_text)
    return folder


def given_command(request: FinetuneRequest) -> list[str]:
    """Return the command line of the user, also in a rank that was launched by it."""
    if request.handover is None:
        return sys.argv
    words: list[str] = json.loads(Handover(request.handover).command.read_text(encoding="utf-8"))
    return words


def find_run_folder(request: FinetuneRequest, name: str) -> RunFolder:
    """Create the folder of a new run, or find that of a resumed one.

    Raises:
        UsageError: A new folder exists or cannot be created; or there is none to resume.
    """
    if request.run is None:
        return RunFolder.create_numbered(name)
    if request.resume:
        return RunFolder.existing(request.run)
    return RunFolder.create(request.run) if request.handover is None else RunFolder(request.run)


def write_skipped(folder: RunFolder, skipped: tuple[RejectedExample, ...]) -> None:
    """Write the skipped examples with their reasons to refused.jsonl."""
    lines = [json_text(asdict(one)) + "\n" for one in skipped]
    write_whole(folder.skipped, "".join(lines))


def require_unchanged_recipe(folder: RunFolder) -> None:
    """Check that recipe.yaml is what was written when the run was started.

    Raises:
        RecipeError: It was changed, or cut.
    """
    if fingerprint_text(folder.recipe.read_text(encoding="utf-8")) != read_hashes(folder)["recipe"]:
        raise RecipeError(
            f"{folder.recipe} is not what the run was started with: it was changed or damaged.",
            remedy="Restore it from a copy; to train with other settings start a new run.",
        )


def read_hashes(folder: RunFolder) -> dict[str, Any]:
    """Return the hashes of what the run was started with.

    Raises:
        DataError: environment.json cannot be read.
        RecipeError: It does not hold them.
    """
    environment = read_json_object(
        folder.environment,
        remedy="Restore the file from a copy, or start a new run: without it nothing shows that "
        "this one would continue with the same data.",
    )
    ranks, stored = environment.get("ranks", 1), environment.get("hashes")
    if not isinstance(stored, dict) or not isinstance(ranks, int):
        raise RecipeError(
            f"{folder.environment} does not hold the hashes of what the run was started with.",
            remedy="Restore the file from a copy, or start a new run.",
        )
    return {"ranks": ranks, "recipe": None, **stored}


def check_identity(folder: RunFolder, identity: dict[str, str], ranks: int = 1) -> None:
    """Check that recipe, data, vocabulary and number of ranks of a resumed run are unchanged.

    The recipe is compared as it was written: keys that came later have their defaults.

    Raises:
        RecipeError: One of them has changed.
    """
    stored = read_hashes(folder)
    before = stored["ranks"]
    if ranks != before:
        raise RecipeError(
            f"The run in {folder.root} was started on {before} devices, not on {ranks}.",
            remedy=f"Resume it on as many (--cards {before} on one node): steps would differ with "
            "another number.",
        )
    require_unchanged_recipe(folder)
    parts = [name for name in identity if name != "recipe"]
    changed = [name for name in parts if stored.get(name) != identity[name]]
    if changed:
        raise RecipeError(
            f"The run in {folder.root} was started with other {' and '.join(changed)}.",
            remedy="Restore what it was started with, or start a new run.",
        )


def recording(observe: Observer, folder: RunFolder) -> Observer:
    """Return an observer that passes events on and records them in the run folder."""

    def record(event: Event) -> None:
        observe(event)
        folder.record(event)

    return record

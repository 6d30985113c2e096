"""Training on many cards: all is prepared once, then a process for each card does the work."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from shutil import rmtree
from typing import TextIO

from gaudi_asr_cli.core.distributed.handover import Handover
from gaudi_asr_cli.core.distributed.launchers import (
    Launch,
    command_line,
    rank_environment,
)
from gaudi_asr_cli.core.distributed.watching import run_ranks
from gaudi_asr_cli.core.errors import AsrError, UsageError
from gaudi_asr_cli.core.events import Observer
from gaudi_asr_cli.core.recipes.loading import dump_recipe
from gaudi_asr_cli.core.runs import RunFolder
from gaudi_asr_cli.core.secret_values import HANDED, hide_in_words, only_secrets
from gaudi_asr_cli.core.training.settings import check_reports
from gaudi_asr_cli.core.workflows.finetune.job import hand_over, read_splits
from gaudi_asr_cli.core.workflows.finetune.legacy_text import report_formerly_removed
from gaudi_asr_cli.core.workflows.finetune.opening import (
    FinetuneRequest,
    place_run,
    require_new_run,
    resolve_recipe,
)


def launch_training(
    words: Sequence[str],
    request: FinetuneRequest,
    launch: Launch,
    opened_view: Callable[[], AbstractContextManager[Observer]],
    outputs: tuple[TextIO, TextIO],
) -> None:
    """Read and measure the data, make the run folder, and have ranks do the rest of a command.

    Args:
        words: The command and the options that are no part of the recipe, such as `--device cpu`.
        request: What to train, as for one card.
        launch: How many ranks, and who starts them; checked (`check_launch`).
        opened_view: Shows what is done before the ranks start; they tell of the rest themselves.
        outputs: Where the first rank's words come out.

    Raises:
        AsrError: What stopped the preparation, or the first of the ranks.
    """
    if launch.nodes > 1 and request.run is None:
        raise UsageError("Several nodes need one run folder.", remedy="Name it with --run DIR.")
    if launch.node_rank == 0:
        require_new_run(request)
    recipe = resolve_recipe(request)
    check_reports(recipe.trainer)
    with opened_view() as observe:
        splits = read_splits(recipe, observe)
        report_formerly_removed(request.former_pattern, recipe, splits, observe)
    run, logs = open_places(request, launch, recipe.name)
    with tempfile.TemporaryDirectory(prefix="gaudi-asr-") as root:
        handover = Handover(Path(root))
        hand_over(splits, handover.root)
        handover.recipe.write_text(dump_recipe(recipe), encoding="utf-8")
        handover.command.write_text(json.dumps(hide_in_words(sys.argv)), encoding="utf-8")
        logs.mkdir(parents=True, exist_ok=True)
        handover.logs.symlink_to(logs.resolve())
        mine = ["--resume"] if request.resume else ["--recipe", str(handover.recipe)]
        line = command_line(launch, [*words, *mine, "--run", str(run.resolve())])
        # The environment of a process is its owner's to read; files and command lines are not.
        secrets = json.dumps(only_secrets(recipe.model_dump(mode="json")))
        environment = {**rank_environment(launch), **os.environ, HANDED: secrets}
        try:
            run_ranks(line, environment, handover, outputs)
        except AsrError:
            if launch.node_rank == 0:
                forget_unbegun(RunFolder(run), handover)
            raise


def open_places(request: FinetuneRequest, launch: Launch, name: str) -> tuple[Path, Path]:
    """The run's folder, and the one for logs.

    The first node makes the run's folder. The others write only logs, beside it: they may or may
    not share a disk with the first.
    """
    if launch.node_rank == 0 or request.run is None:
        run = place_run(request, name).root
        return run, run / "logs"
    beside = request.run.with_name(f"{request.run.name}-node-{launch.node_rank}")
    return request.run, beside / "logs"


def forget_unbegun(folder: RunFolder, handover: Handover) -> None:
    """Remove a folder in which nothing was begun, where the error says it all."""
    if not folder.recipe.exists() and handover.failures():
        rmtree(folder.root)

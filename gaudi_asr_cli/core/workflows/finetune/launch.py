"""Distributed training: prepare the data once, then start one process per device."""

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
from gaudi_asr_cli.core.workflows.finetune.job import read_splits, write_splits
from gaudi_asr_cli.core.workflows.finetune.legacy_text import report_legacy_removals
from gaudi_asr_cli.core.workflows.finetune.opening import (
    FinetuneRequest,
    find_run_folder,
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
    """Read and measure the data, create the run folder, and run the ranks of a command.

    Args:
        words: The command and its options outside the recipe, such as `--device cpu`.
        request: The training run, as for one device.
        launch: The number of ranks and the launcher; valid (`check_launch`).
        opened_view: Shows the preparation; the ranks report the rest themselves.
        outputs: Standard output and error of the first rank.

    Raises:
        AsrError: The preparation or a rank failed; of several ranks, the first error.
    """
    if launch.nodes > 1 and request.run is None:
        raise UsageError("Several nodes need one run folder.", remedy="Name it with --run DIR.")
    if launch.node_rank == 0:
        require_new_run(request)
    recipe = resolve_recipe(request)
    check_reports(recipe.trainer)
    with opened_view() as observe:
        splits = read_splits(recipe, observe)
        report_legacy_removals(request.former_pattern, recipe, splits, observe)
    run, logs = open_run_and_logs(request, launch, recipe.name)
    with tempfile.TemporaryDirectory(prefix="gaudi-asr-") as root:
        handover = Handover(Path(root))
        write_splits(splits, handover.root)
        handover.recipe.write_text(dump_recipe(recipe), encoding="utf-8")
        handover.command.write_text(json.dumps(hide_in_words(sys.argv)), encoding="utf-8")
        logs.mkdir(parents=True, exist_ok=True)
        handover.logs.symlink_to(logs.resolve())
        recipe_options = ["--resume"] if request.resume else ["--recipe", str(handover.recipe)]
        line = command_line(launch, [*words, *recipe_options, "--run", str(run.resolve())])
        # Only its owner can read the environment of a process, unlike files and command lines.
        secrets = json.dumps(only_secrets(recipe.model_dump(mode="json")))
        environment = {**rank_environment(launch), **os.environ, HANDED: secrets}
        try:
            run_ranks(line, environment, handover, outputs)
        except AsrError:
            if launch.node_rank == 0:
                remove_unstarted(RunFolder(run), handover)
            raise


def open_run_and_logs(request: FinetuneRequest, launch: Launch, name: str) -> tuple[Path, Path]:
    """Return the run folder and the folder for logs.

    The first node creates the run folder. The others only write logs, to a folder next to it: they
    may or may not share a disk with the first node.
    """
    if launch.node_rank == 0 or request.run is None:
        run = find_run_folder(request, name).root
        return run, run / "logs"
    node_folder = request.run.with_name(f"{request.run.name}-node-{launch.node_rank}")
    return request.run, node_folder / "logs"


def remove_unstarted(folder: RunFolder, handover: Handover) -> None:
    """Remove the folder of a run that failed before training started."""
    if not folder.recipe.exists() and handover.failures():
        rmtree(folder.root)

"""Distributed training: prepare the data once, then start one process per device."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path
from typing import TextIO

from gaudi_asr_cli.core.distributed.handover import Handover
from gaudi_asr_cli.core.distributed.launchers import (
    Launch,
    command_line,
    rank_environment,
)
from gaudi_asr_cli.core.distributed.watching import run_ranks
from gaudi_asr_cli.core.errors import AsrError, StoppedError, UsageError
from gaudi_asr_cli.core.events import Observer
from gaudi_asr_cli.core.recipes.loading import dump_recipe
from gaudi_asr_cli.core.recipes.schema import TrainingRecipe
from gaudi_asr_cli.core.runs import RunFolder
from gaudi_asr_cli.core.secret_values import HANDED, hide_in_words, only_secrets
from gaudi_asr_cli.core.training.settings import check_reports
from gaudi_asr_cli.core.workflows.finetune.job import Splits, read_splits, write_splits
from gaudi_asr_cli.core.workflows.finetune.legacy_text import report_legacy_removals
from gaudi_asr_cli.core.workflows.finetune.opening import (
    FinetuneRequest,
    claim_run,
    find_run_folder,
    lock_run,
    resolve_recipe,
    unstarted_removed,
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
    is_first = launch.node_rank == 0
    with ExitStack() as held:
        with opened_view() as observe:
            if is_first:
                claim_run(request, held, observe)
            recipe = resolve_recipe(request)
            check_reports(recipe.trainer)
            splits = read_splits(recipe, observe)
            report_legacy_removals(request.former_pattern, recipe, splits, observe)
            run, logs = open_run_and_logs(request, launch, recipe.name)
            if is_first and not request.resume:
                lock_run(RunFolder(run), held, observe)
        with tempfile.TemporaryDirectory(prefix="gaudi-asr-") as root:
            handover = Handover(Path(root))
            is_new = is_first and not request.resume
            with unstarted_removed(RunFolder(run), new=is_new, keep=partial(has_logs, handover)):
                write_handover(handover, recipe, splits)
                logs.mkdir(parents=True, exist_ok=True)
                handover.logs.symlink_to(logs.resolve())
                options = ["--resume"] if request.resume else ["--recipe", str(handover.recipe)]
                line = command_line(launch, [*words, *options, "--run", str(run.resolve())])
                # Only its owner can read the environment of a process, unlike files and command
                # lines.
                secrets = json.dumps(only_secrets(recipe.model_dump(mode="json")))
                environment = {**rank_environment(launch), **os.environ, HANDED: secrets}
                run_ranks(line, environment, handover, outputs)


def write_handover(handover: Handover, recipe: TrainingRecipe, splits: Splits) -> None:
    """Write what the ranks need: the measured data, the recipe and the user's command."""
    write_splits(splits, handover.root)
    handover.recipe.write_text(dump_recipe(recipe), encoding="utf-8")
    handover.command.write_text(json.dumps(hide_in_words(sys.argv)), encoding="utf-8")


def has_logs(handover: Handover, error: BaseException) -> bool:
    """Return whether a rank died without reporting an error, so that only the logs say why."""
    is_reported = isinstance(error, StoppedError) or bool(handover.failures())
    return isinstance(error, AsrError) and not is_reported


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

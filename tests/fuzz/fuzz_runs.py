"""Mutated files of a run, read by `results`, `--resume` and `eval-ctc`."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import resource
import shutil
import sys
import tempfile
from functools import cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from fuzzing import main, mutate
from helpers.tiny_corpus import write_corpus

from gaudi_asr_cli.core.devices import open_device
from gaudi_asr_cli.core.distributed.ranks import SINGLE_PROCESS
from gaudi_asr_cli.core.events import StepLogged, ignore
from gaudi_asr_cli.core.runs import RunFolder
from gaudi_asr_cli.core.training.checkpoints import read_totals
from gaudi_asr_cli.core.training.session import find_newest
from gaudi_asr_cli.core.workflows.evaluation import EvalRequest
from gaudi_asr_cli.core.workflows.evaluation import evaluate as score
from gaudi_asr_cli.core.workflows.finetune.opening import (
    FinetuneRequest,
    check_identity,
    read_hashes,
    resolve_recipe,
)
from gaudi_asr_cli.core.workflows.finetune.run import finetune
from gaudi_asr_cli.core.workflows.results import run as results_run
from gaudi_asr_cli.ui.results_table import print_markdown, show_results_table

MOST_MEMORY_KB = 1 << 20
SETTINGS = (
    "eval.limit=1", "test=null", "batching.batch=2", "batching.buckets=1", "max_steps=3",
    "evaluation.every=2", "evaluation.save_every=1", "evaluation.log_every=1", "dtype=fp32",
    "architecture.hidden_size=16", "architecture.intermediate_size=16",
    "architecture.num_attention_heads=2", "architecture.conv_dim=[8, 8, 8]",
    "architecture.num_conv_pos_embedding_groups=2",
)  # fmt: skip
RUN_FILES = ("report.json", "events.jsonl", "predictions.jsonl", "recipe.yaml", "environment.json")


class StoppedHereError(Exception):
    """Ends a run before its last step."""


def write_templates(root: Path) -> Path:
    """Write a finished run, and one that can be resumed, below `root`."""
    corpus = write_corpus(root / "corpus", utterances=2)
    settings = (f"train.data={corpus}", f"eval.data={corpus}", *SETTINGS)

    def stop(event):
        if isinstance(event, StepLogged) and event.step == 3:
            raise StoppedHereError

    device = open_device("cpu")
    finetune(FinetuneRequest("digits", settings, root / "finished"), device, ignore)
    with contextlib.suppress(StoppedHereError):
        finetune(FinetuneRequest("digits", settings, root / "stopped"), device, stop)
    return root


# Here, not in the first case, which has a time limit.
_SCRATCH = tempfile.TemporaryDirectory(prefix="gaudi-asr-runs-")
TEMPLATES = write_templates(Path(_SCRATCH.name))
# The recipes of the package are the same in every case, and take a second to read.
results_run.describe_recipes = cache(results_run.describe_recipes)
results_run.describe_recipes()
BASE_MEMORY_KB = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def damage(rng: random.Random, path: Path) -> None:
    """Mutate a file, or put something else in its place."""
    kind = rng.random()
    if kind < 0.8:
        path.write_bytes(mutate(rng, path.read_bytes().decode("utf-8", "surrogateescape")))
        return
    path.unlink()
    if kind < 0.85:
        path.touch()
    elif kind < 0.9:
        path.mkdir()
    elif kind < 0.93:
        os.mkfifo(path)
    elif kind < 0.96:
        path.symlink_to(path.name)


def damaged_copy(rng: random.Random, folder: Path, name: str, files: list[str]) -> Path:
    """Copy a template and damage one or two of its files."""
    run = Path(shutil.copytree(TEMPLATES / name, folder / "run"))
    for _ in range(rng.choice((1, 1, 2))):
        path = run / rng.choice(files)
        if path.is_file():
            damage(rng, path)
    return run


def checkpoint_files() -> list[str]:
    root = TEMPLATES / "stopped"
    return [str(path.relative_to(root)) for path in root.glob("checkpoints/*/*")]


def list_results(rng: random.Random, folder: Path) -> None:
    run = damaged_copy(rng, folder, "finished", list(RUN_FILES))
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        report = results_run.collect_results(rng.choice((run, folder)))
        json.dumps(report.to_json(), default=str)
        show_results_table(report)
        print_markdown(report)


def read_for_resume(rng: random.Random, folder: Path) -> None:
    """Do what `--resume` does before it reads data."""
    files = [*RUN_FILES, *checkpoint_files(), *checkpoint_files()]
    # Every checkpoint of an earlier version has a mark without a list of files.
    run = damaged_copy(rng, folder, "stopped", files)
    if rng.random() < 0.3:
        for mark in run.glob("checkpoints/*/complete.json"):
            if mark.is_file():
                mark.write_text(json.dumps({"step": int(mark.parent.name.rpartition("-")[2])}))
    request = FinetuneRequest(run=run, resume=True)
    resolve_recipe(request)
    run_folder = RunFolder.existing(run)
    check_identity(run_folder, {"recipe": read_hashes(run_folder)["recipe"]})
    newest = find_newest(run_folder, SINGLE_PROCESS, ignore, keeps_best=True)
    if newest is not None:
        read_totals(newest)


def resume(rng: random.Random, folder: Path) -> None:
    run = damaged_copy(rng, folder, "stopped", [*RUN_FILES, *checkpoint_files()])
    finetune(FinetuneRequest(run=run, resume=True), open_device("cpu"), ignore)
    assert (run / "report.json").is_file()


def evaluate(rng: random.Random, folder: Path) -> None:
    files = ["model/config.json", "model/vocab.json", "model/preprocessor_config.json",
             "model/tokenizer_config.json", *RUN_FILES]  # fmt: skip
    run = damaged_copy(rng, folder, "finished", files)
    data = (str(TEMPLATES / "corpus" / "manifest.jsonl"),)
    request = EvalRequest(model=str(run), data=data, run=folder / "eval", limit=1)
    score(request, open_device("cpu"), ignore)


def case(rng: random.Random, folder: Path) -> None:
    """Read a damaged run as one of the commands that read runs."""
    actions = (list_results, read_for_resume, evaluate, resume)
    (act,) = rng.choices(actions, weights=(35, 50, 10, 5))
    act(rng, folder)
    used_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - BASE_MEMORY_KB
    assert used_kb < MOST_MEMORY_KB, f"{used_kb} kB"


if __name__ == "__main__":
    main(case)

"""Trackers such as TensorBoard: under which name they show a run, and when they start."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from gaudi_asr_cli.core.errors import MachineError
from gaudi_asr_cli.core.runs import RunFolder
from gaudi_asr_cli.core.secret_values import hide_in_words

STARTED_EARLY = {"WandbCallback": "wandb", "MLflowCallback": "mlflow"}
"""Callbacks of transformers that start their tracker with the first step, unless it has started."""


def report_into(trainer: Any, folder: RunFolder, extra: Mapping[str, Any]) -> None:
    """Let a trainer's trackers use the run folder's name, and TensorBoard a folder inside it.

    transformers itself would name both by the folder of the checkpoints. What the recipe or the
    environment (`TENSORBOARD_LOGGING_DIR`) sets is kept.

    Raises:
        MachineError: A tracker does not start, for example without its account or server.
    """
    arguments = trainer.args
    if not extra.get("run_name"):
        arguments.run_name = folder.root.resolve().name
    place = str(folder.root / "tensorboard")
    if hasattr(arguments, "logging_dir") and not extra.get("logging_dir"):
        # transformers 4
        arguments.logging_dir = place
    for callback in trainer.callback_handler.callbacks:
        if getattr(callback, "logging_dir", arguments) is None:
            callback.logging_dir = place
        if type(callback).__name__ in STARTED_EARLY:
            _start(callback, trainer)


def _start(callback: Any, trainer: Any) -> None:
    """Start a tracker before training begins, so that its failure leaves no run behind."""
    try:
        with _secrets_of_words_hidden():
            callback.setup(trainer.args, trainer.state, trainer.model)
    except Exception as error:
        reason = next((line for line in str(error).splitlines() if line.strip()), "")
        name = STARTED_EARLY[type(callback).__name__]
        raise MachineError(
            f"Reporting to {name} cannot start: {reason.strip() or type(error).__name__}",
            remedy="gaudi-asr help publishing names its settings; or leave --report-to out: the "
            "run folder's events.jsonl has every number.",
        ) from error


@contextmanager
def _secrets_of_words_hidden() -> Iterator[None]:
    """Let the process's command line have `***` for secrets: Weights & Biases records it."""
    words, sys.argv = sys.argv, hide_in_words(sys.argv)
    try:
        yield
    finally:
        sys.argv = words

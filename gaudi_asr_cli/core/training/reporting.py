"""Names and folders under which trackers such as TensorBoard show a run."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from typing import Any

from gaudi_asr_cli.core.runs import RunFolder
from gaudi_asr_cli.core.secret_values import hide_in_words


def report_into(trainer: Any, folder: RunFolder, extra: Mapping[str, Any]) -> None:
    """Let a trainer's trackers use the run folder's name, and TensorBoard a folder inside it.

    transformers itself would name both by the folder of the checkpoints. What the recipe or the
    environment (`TENSORBOARD_LOGGING_DIR`) sets is kept.
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
        if hasattr(callback, "setup"):
            callback.setup = _without_secrets_of_words(callback.setup)


def _without_secrets_of_words(setup: Callable[..., Any]) -> Callable[..., Any]:
    """Return the set-up of a tracker during which the command line has `***` for secrets.

    Weights & Biases records the words of the process.
    """

    @functools.wraps(setup)
    def set_up(*arguments: Any, **keywords: Any) -> Any:
        words, sys.argv = sys.argv, hide_in_words(sys.argv)
        try:
            return setup(*arguments, **keywords)
        finally:
            sys.argv = words

    return set_up

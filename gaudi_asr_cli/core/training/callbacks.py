"""Trainer callbacks: marking checkpoints as complete, early stopping, stopping on signals."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from shutil import rmtree
from types import FrameType
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from gaudi_asr_cli.core.distributed.ranks import SINGLE_PROCESS, Ranks
from gaudi_asr_cli.core.runs import CHECKPOINT_MARK, RunFolder, checkpoint_step
from gaudi_asr_cli.core.training.checkpoints import TOTALS, write_mark
from gaudi_asr_cli.core.training.meter import TrainingTotals
from gaudi_asr_cli.core.whole_files import write_json


class CheckpointKeeper(TrainerCallback):  # type: ignore[misc]
    """Marks a checkpoint as complete once all of it is written, then removes old ones.

    The newest and the best are kept. The mark is removed before the folder, so that a kill during
    the removal leaves no incomplete checkpoint that is marked as complete. A checkpoint is complete
    once every rank has written its part, the state of its random number generators.
    """

    def __init__(
        self,
        folder: RunFolder,
        mark: dict[str, Any],
        totals: Callable[[], TrainingTotals],
        saved: Callable[[Path], None],
        ranks: Ranks = SINGLE_PROCESS,
    ) -> None:
        self.folder = folder
        self.mark = mark
        self.totals = totals
        self.saved = saved
        self.ranks = ranks

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self.ranks.gather(None)
        if not self.ranks.first:
            return
        newest = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        write_json(newest / TOTALS, asdict(self.totals()))
        write_mark(newest, {"step": state.global_step, **self.mark})
        self.saved(newest)
        kept = {state.global_step, state.best_global_step}
        for checkpoint in self.folder.whole_checkpoints():
            if checkpoint_step(checkpoint) not in kept:
                (checkpoint / CHECKPOINT_MARK).unlink()
                rmtree(checkpoint)


class LastStep(TrainerCallback):  # type: ignore[misc]
    """Logs and scores the last step, regardless of the intervals between logs and scores."""

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if state.global_step < state.max_steps:
            return
        # Otherwise a run shorter than the interval would never log its loss.
        control.should_log = True
        control.should_evaluate = control.should_evaluate or args.eval_strategy != "no"


class Patience(TrainerCallback):  # type: ignore[misc]
    """Early stopping after so many scores in a row without an improvement.

    It counts in the trainer's history, which checkpoints store, so that it survives a resume.
    """

    def __init__(self, scores: int) -> None:
        self.scores = scores

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if is_exhausted(state.log_history, self.scores):
            control.should_training_stop = True


def is_exhausted(history: list[dict[str, float]], patience: int | None) -> bool:
    """Return whether the last `patience` scores of a trainer's history are no improvement."""
    rates = [entry["eval_wer"] for entry in history if "eval_wer" in entry]
    if patience is None or not rates:
        return False
    return len(rates) - 1 - rates.index(min(rates)) >= patience


class StopAtSignal(TrainerCallback):  # type: ignore[misc]
    """On Ctrl-C or SIGTERM: finish the step, save, stop. A second signal stops at once.

    Ranks stop after the same step, a few steps later; `received` is the signal that stopped them.
    """

    def __init__(self, ranks: Ranks = SINGLE_PROCESS) -> None:
        self.ranks = ranks
        self.requested: int | None = None
        self.received: int | None = None

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self.received = self.ranks.stop_due(state.global_step, self.requested)
        if self.received is not None:
            control.should_training_stop = True
            control.should_save = True
            control.should_evaluate = False

    @contextmanager
    def handle_signals(self) -> Iterator[None]:
        """Handle the signals while training runs, and restore the previous handlers afterwards."""
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

        def remember(number: int, frame: FrameType | None) -> None:
            self.requested = number
            for each, handler in before.items():
                signal.signal(each, handler)

        for number in before:
            signal.signal(number, remember)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def remove_unfinished(folder: RunFolder) -> list[Path]:
    """Remove incomplete checkpoints and return their paths."""
    whole = set(folder.whole_checkpoints())
    unfinished = [path for path in folder.all_checkpoints() if path not in whole]
    for path in unfinished:
        rmtree(path)
    return unfinished

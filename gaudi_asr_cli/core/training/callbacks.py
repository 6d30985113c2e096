"""What happens beside the training loop: marking checkpoints, stopping cleanly."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from types import FrameType
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from gaudi_asr_cli.core.distributed.ranks import SINGLE_PROCESS, Ranks
from gaudi_asr_cli.core.runs import CHECKPOINT_MARK, RunFolder, checkpoint_step, write_json


class CheckpointKeeper(TrainerCallback):  # type: ignore[misc]
    """Marks a checkpoint as whole once all of it is written, then removes those not needed.

    The newest and the best stay. A mark is taken away before its folder is, so that a kill in
    the middle of the removal leaves no checkpoint that only looks whole. It is whole once every
    rank has written its own part, the state of what is random there.
    """

    def __init__(
        self,
        folder: RunFolder,
        mark: dict[str, Any],
        saved: Callable[[Path], None],
        ranks: Ranks = SINGLE_PROCESS,
    ) -> None:
        self.folder = folder
        self.mark = mark
        self.saved = saved
        self.ranks = ranks

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self.ranks.gather(None)
        if not self.ranks.first:
            return
        newest = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        write_json(newest / CHECKPOINT_MARK, {"step": state.global_step, **self.mark})
        self.saved(newest)
        kept = {state.global_step, state.best_global_step}
        for checkpoint in self.folder.whole_checkpoints():
            if checkpoint_step(checkpoint) not in kept:
                (checkpoint / CHECKPOINT_MARK).unlink()
                rmtree(checkpoint)


class LastStep(TrainerCallback):  # type: ignore[misc]
    """Logs and scores the last step too, whatever the intervals between logs and scores are."""

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if state.global_step < state.max_steps:
            return
        # A run shorter than the interval would else know nothing of its loss.
        control.should_log = True
        control.should_evaluate = control.should_evaluate or args.eval_strategy != "no"


class Patience(TrainerCallback):  # type: ignore[misc]
    """Stops after so many scores in a row without a better one.

    It counts in the trainer's own history, which checkpoints keep, so that it survives a resume.
    """

    def __init__(self, scores: int) -> None:
        self.scores = scores

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if is_exhausted(state.log_history, self.scores):
            control.should_training_stop = True


def is_exhausted(history: list[dict[str, float]], patience: int | None) -> bool:
    """Whether the last `patience` scores of a trainer's history brought no better one."""
    rates = [entry["eval_wer"] for entry in history if "eval_wer" in entry]
    if patience is None or not rates:
        return False
    return len(rates) - 1 - rates.index(min(rates)) >= patience


class StopAtSignal(TrainerCallback):  # type: ignore[misc]
    """On Ctrl-C or SIGTERM: finish the step, save, stop. A second one stops at once.

    Ranks stop after the same step, a few later; `received` is the signal that they stopped for.
    """

    def __init__(self, ranks: Ranks = SINGLE_PROCESS) -> None:
        self.ranks = ranks
        self.wish: int | None = None
        self.received: int | None = None

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self.received = self.ranks.stop_due(state.global_step, self.wish)
        if self.received is not None:
            control.should_training_stop = True
            control.should_save = True
            control.should_evaluate = False

    @contextmanager
    def inference_mode(self) -> Iterator[None]:
        """Listen while training runs; whoever listened before does so again afterwards."""
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

        def remember(number: int, frame: FrameType | None) -> None:
            self.wish = number
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
    """Remove checkpoints whose writing was cut off; returns what was removed."""
    whole = set(folder.whole_checkpoints())
    unfinished = [path for path in folder.checkpoints.glob("checkpoint-*") if path not in whole]
    for path in unfinished:
        rmtree(path)
    return unfinished

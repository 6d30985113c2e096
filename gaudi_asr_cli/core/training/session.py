"""One training run, from a model and planned batches to the best weights; resumable anytime."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gaudi_asr_cli.core.data.buckets import padded_ratio
from gaudi_asr_cli.core.devices.base import Device
from gaudi_asr_cli.core.distributed.ranks import Ranks
from gaudi_asr_cli.core.errors import StoppedError, TrainingError
from gaudi_asr_cli.core.events import (
    CheckpointSaved,
    Evaluated,
    Noticed,
    Observer,
    StepLogged,
    TrainingStarted,
)
from gaudi_asr_cli.core.models.quiet import quiet_transformers
from gaudi_asr_cli.core.records import Score
from gaudi_asr_cli.core.runs import RunFolder, checkpoint_step
from gaudi_asr_cli.core.training.batches import PlannedBatches, TrainingSet
from gaudi_asr_cli.core.training.blanks import BlankWatch
from gaudi_asr_cli.core.training.checkpoints import (
    STATE,
    choose_checkpoint,
    read_totals,
    require_intact,
    take_mark,
    write_mark,
)
from gaudi_asr_cli.core.training.meter import StepMeter, TrainingTotals
from gaudi_asr_cli.core.training.reporting import report_into
from gaudi_asr_cli.core.training.sessions import add_sessions
from gaudi_asr_cli.core.training.settings import TrainingSettings, training_arguments
from gaudi_asr_cli.core.training.tasks.base import Task
from gaudi_asr_cli.core.training.trainer import ScoreNow

ScoreModel = Callable[[Task, int], Evaluated]
"""Scores a task's model at a step; `best` of the result is set in this module."""


@dataclass(frozen=True, slots=True)
class TrainingOutcome:
    """The result of a training run, over all `sessions` of one that was resumed.

    `earlier_s` is the time of the sessions before the last, up to their last events.

    The blank share is of CTC models, the token accuracy (teacher forcing) of seq2seq models.
    `best_step` is the step of the final weights where the best are kept.
    `broken` maps ids of utterances whose audio could not be decoded during training to the reason.
    """

    steps: int
    epochs: float
    best_step: int | None
    resumed_step: int
    audio_s_per_s: float
    utterances_per_s: float
    padding: float
    loss_first: float | None
    loss_last: float | None
    blank_first: float | None
    blank_last: float | None
    accuracy_first: float | None
    accuracy_last: float | None
    audio_s: float
    sessions: int
    earlier_s: float
    broken: dict[str, str]
    curve: tuple[dict[str, float], ...] = field(default=())


@dataclass(frozen=True, slots=True)
class RunSession:
    """One session of a run: its folder, its observer, and when it started (`perf_counter`)."""

    folder: RunFolder
    observe: Observer
    started_s: float


def train(
    task: Task,
    training_set: TrainingSet,
    score: ScoreModel | None,
    settings: TrainingSettings,
    session: RunSession,
) -> TrainingOutcome:
    """Train the task's network in place, from the newest complete checkpoint if there is one.

    At the end the network holds the weights with the best word error rate, or the last weights
    where nothing was scored or `settings.keep` is "last".

    Raises:
        TrainingError: A loss was not finite, or the disk is full.
        StoppedError: Ctrl-C or SIGTERM; a checkpoint of the last complete step was written.
    """
    from gaudi_asr_cli.core.training.callbacks import StopAtSignal

    ranks, folder, observe = task.device.ranks, session.folder, session.observe
    newest = find_newest(folder, ranks, observe, keeps_best=settings.keep == "best")
    resumed_step = checkpoint_step(newest) if newest else 0
    # With batches padded to their bucket, the network's outputs must not depend on the padding.
    invariant = task.with_static_shapes() if training_set.batching.static_shapes else task
    batches = PlannedBatches(training_set, invariant, observe)
    stop = StopAtSignal(ranks)
    earlier = add_sessions(read_totals(newest) if newest else TrainingTotals(), folder.events)
    meter = StepMeter(training_set, invariant, earlier, session.started_s)
    with contextlib.closing(batches), quiet_transformers(), stop.handle_signals():
        trainer = open_trainer(batches, score, settings, session, meter, stop)
        started = started_event(training_set, settings, resumed_step)
        observe(replace(started, elapsed_s=time.perf_counter() - session.started_s))
        with disk_errors_explained(folder.root):
            if newest and score is not None:
                catch_up_score(trainer, newest, settings)
            if newest and is_over(newest, settings):
                restore_finished(trainer, newest)
            else:
                trainer.train(resume_from_checkpoint=str(newest) if newest else None)
    # A signal during the last steps did not stop training, but stops what follows.
    number = stop.requested if stop.received is None else stop.received
    if number is not None:
        raise stopped(task, number, trainer.state.global_step, folder)
    best = trainer.state.best_global_step if settings.keep == "best" else None
    if ranks.first and best is not None and best != trainer.state.global_step:
        load_intact_weights(task, folder.checkpoints / f"checkpoint-{best}")
    broken = {name: why for part in ranks.gather(batches.broken) for name, why in part.items()}
    return outcome(trainer, resumed_step, earlier, broken, best)


def find_newest(
    folder: RunFolder, ranks: Ranks, observe: Observer, *, keeps_best: bool
) -> Path | None:
    """Remove incomplete checkpoints and return the newest intact one, the same on all ranks.

    Raises:
        TrainingError: There are checkpoints, and none is intact.
    """
    from gaudi_asr_cli.core.training.callbacks import remove_unfinished

    def tidy() -> str | None:
        for path in remove_unfinished(folder):
            observe(Noticed(f"Removed the incomplete {path.name}."))
        chosen = choose_checkpoint(folder, observe, keeps_best=keeps_best)
        return None if chosen is None else str(chosen)

    found = ranks.broadcast(tidy)
    return None if found is None else Path(found)


def open_trainer(
    batches: PlannedBatches,
    score: ScoreModel | None,
    settings: TrainingSettings,
    session: RunSession,
    meter: StepMeter,
    stop: Any,
) -> Any:
    """Return the device's trainer with our batches, scores and callbacks."""
    task, folder, observe = batches.task, session.folder, session.observe
    # First, because a device's own trainer may patch transformers when it is imported.
    kit = task.device.trainer_kit(generates=task.generates)
    kit.check(task.network, {"gradient_accumulation_steps": settings.accumulate, **settings.extra})
    arguments = training_arguments(settings, folder.checkpoints, kit, task.device.ranks)
    from transformers import PrinterCallback, ProgressCallback

    from gaudi_asr_cli.core.training import callbacks
    from gaudi_asr_cli.core.training.trainer import StepMarker, planned_trainer

    mark = {**task.mark(), "seed": settings.seed}

    trainer = planned_trainer(kit.trainer_class())(
        batches=batches,
        kit=kit,
        meter=meter,
        score_now=scoring(score, task, lambda: trainer.state.best_metric, observe),
        model=task.network,
        args=arguments,
        callbacks=[
            LogReporter(
                observe, BlankWatch(settings.steps, settings.warmup_steps), task.device
            ).callback(),
            callbacks.LastStep(),
            *([callbacks.Patience(settings.patience)] if settings.patience else []),
            *([] if kit.marks_steps else [StepMarker(task.device).callback()]),
            stop,
            callbacks.CheckpointKeeper(
                folder,
                mark,
                meter.totals,
                lambda path: observe(CheckpointSaved(checkpoint_step(path), str(path))),
                task.device.ranks,
            ),
        ],
        **kit.trainer_keywords(settings.extra, arguments),
    )
    report_into(trainer, folder, settings.extra)
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    return trainer


def scoring(
    score: ScoreModel | None,
    task: Task,
    best_rate: Callable[[], float | None],
    observe: Observer,
) -> ScoreNow | None:
    """Return the function by which the trainer scores the network and reports the score."""
    if score is None:
        return None

    def score_now(step: int) -> dict[str, float]:
        found = score(task, step)
        best = best_rate()
        is_best = best is None or found.score.wer < best
        observe(dataclasses.replace(found, best=is_best))
        loss = {} if found.loss is None else {"eval_loss": found.loss}
        return {**score_metrics(found.score), **loss}

    return score_now


def score_metrics(score: Score) -> dict[str, float]:
    """Return a score as entries of a trainer log."""
    return {"eval_wer": score.wer, "eval_cer": score.cer, "eval_rtfx": score.rtfx or 0.0}


@dataclass(frozen=True, slots=True)
class LogReporter:
    """Converts the trainer's logs to events."""

    observe: Observer
    blanks: BlankWatch
    device: Device

    def callback(self) -> Any:
        """Return it as a callback of transformers."""
        from transformers import TrainerCallback

        report = self.report

        class Report(TrainerCallback):  # type: ignore[misc]
            def on_log(
                self, args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any
            ) -> None:
                if "loss" in logs:
                    report(state.global_step, state.epoch or 0.0, logs)

        return Report()

    def report(self, step: int, epoch: float, logs: dict[str, float]) -> None:
        """Emit a trainer log as `StepLogged`, and a notice where its blank share calls for one."""
        self.observe(
            StepLogged(
                step=step,
                epoch=epoch,
                loss=logs["loss"],
                learning_rate=logs["learning_rate"],
                grad_norm=logs.get("grad_norm"),
                audio_s_per_s=logs["audio_s_per_s"],
                utterances_per_s=logs["utterances_per_s"],
                padding=logs["padding"],
                loading_share=logs["loading_share"],
                blank_share=logs.get("blank_share"),
                token_accuracy=logs.get("token_accuracy"),
                peak_memory_mb=self.device.peak_memory_mb(),
            )
        )
        if "blank_share" not in logs:
            return
        verdict = self.blanks.look(step, logs["loss"], logs["blank_share"])
        if verdict is not None:
            self.observe(Noticed(verdict.message, verdict.remedy))


def started_event(
    training_set: TrainingSet, settings: TrainingSettings, resumed_step: int
) -> TrainingStarted:
    """Return the event that describes the run at its start."""
    plan = training_set.plan(0)
    updates = -(-len(plan.batches) // settings.accumulate)
    return TrainingStarted(
        first_step=resumed_step,
        total_steps=settings.steps,
        epochs=settings.steps / updates,
        batches=len(plan.batches),
        utterances=len(training_set.utterances),
        audio_s=training_set.audio_s,
        padding=padded_ratio(plan, training_set.durations_s),
    )


@contextlib.contextmanager
def disk_errors_explained(root: Path) -> Iterator[None]:
    """Convert the different errors that libraries raise for a full disk to one.

    safetensors and torch's zip writer raise errors of their own.

    Raises:
        TrainingError: The disk is full.
    """
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        if not is_disk_full(error, root):
            raise
        raise TrainingError(
            f"The disk of {root} is full: a checkpoint could not be written.",
            remedy="Free some space there, then resume from the last complete checkpoint with "
            f"--resume --run {root}. Nothing written before is lost.",
        ) from error


def is_disk_full(error: Exception, root: Path) -> bool:
    """Return whether a library's error means that the disk is full."""
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return True
    words = ("No space left", "unexpected pos", "file write failed", "PytorchStreamWriter")
    return any(word in str(error) for word in words)


def stopped(task: Task, number: int, step: int, folder: RunFolder) -> StoppedError:
    """Return the error that ends a stopped run."""
    ranks = task.device.ranks.count
    cards = f" --cards {ranks}" if ranks > 1 else ""
    return StoppedError(
        f"Stopped by {signal.Signals(number).name} after step {step}; its checkpoint is written.",
        remedy=f"Resume with: gaudi-asr {task.kind} --resume --run {folder.root}{cards}",
        exit_code=128 + number,
    )


def is_over(checkpoint: Path, settings: TrainingSettings) -> bool:
    """Return whether training was finished at this checkpoint."""
    from transformers import TrainerState

    from gaudi_asr_cli.core.training.callbacks import is_exhausted

    state = TrainerState.load_from_json(str(checkpoint / STATE))
    return bool(
        state.global_step >= settings.steps or is_exhausted(state.log_history, settings.patience)
    )


def catch_up_score(trainer: Any, checkpoint: Path, settings: TrainingSettings) -> None:
    """Score the weights of a checkpoint whose score was due when a signal stopped the run.

    Without it a resumed run could miss its best weights. The checkpoint is written anew with the
    score, so that all that follows is as in an uninterrupted run.
    """
    from transformers import TrainerState

    task: Task = trainer.batches.task
    ranks, first_step = task.device.ranks, trainer.args.eval_delay
    path = str(checkpoint / STATE)
    # The first rank decides for all: it soon writes the file that the others read here.
    if not ranks.broadcast(
        lambda: owes_score(TrainerState.load_from_json(path), settings, first_step)
    ):
        return
    trainer.state = state = TrainerState.load_from_json(path)
    load_weights(task, checkpoint)
    # Some networks draw random numbers even when they only transcribe.
    trainer._load_rng_state(str(checkpoint))
    rate = trainer.evaluate()["eval_wer"]
    if state.best_metric is None or rate < state.best_metric:
        state.best_metric, state.best_global_step = rate, state.global_step
        state.best_model_checkpoint = str(checkpoint)
    ranks.gather(None)
    mark = ranks.broadcast(lambda: take_mark(checkpoint))
    trainer._save_rng_state(str(checkpoint))
    ranks.gather(None)

    def write_anew() -> None:
        state.save_to_json(path)
        write_mark(checkpoint, mark)

    ranks.broadcast(write_anew)


def owes_score(state: Any, settings: TrainingSettings, first_step: float) -> bool:
    """Return whether a score was due at the last step of a trainer's state, and is missing."""
    step, history = state.global_step, state.log_history
    at_interval = step % (settings.eval_every or step) == 0 and step >= first_step
    is_scored = any(entry["step"] == step for entry in history if "eval_wer" in entry)
    return not is_scored and (at_interval or step >= settings.steps)


def restore_finished(trainer: Any, checkpoint: Path) -> None:
    """Restore the state and weights of a finished training."""
    from transformers import TrainerState

    trainer.state = TrainerState.load_from_json(str(checkpoint / STATE))
    load_weights(trainer.batches.task, checkpoint)


def load_intact_weights(task: Task, checkpoint: Path) -> None:
    """Load a checkpoint's weights into the network, if they are what was written.

    Raises:
        TrainingError: They are not; the message names the file.
    """
    require_intact(checkpoint)
    load_weights(task, checkpoint)


def load_weights(task: Task, checkpoint: Path) -> None:
    """Load a checkpoint's weights into the network."""
    from safetensors.torch import load_model

    # Tied weights are stored once, under one of their names.
    load_model(task.network, checkpoint / "model.safetensors", strict=True)


def outcome(
    trainer: Any,
    resumed_step: int,
    earlier: TrainingTotals,
    broken: dict[str, str],
    best_step: int | None,
) -> TrainingOutcome:
    """Return the result, from the trainer's history, which checkpoints keep across a resume."""
    history = trainer.state.log_history
    logs = [entry for entry in history if "loss" in entry]
    totals: TrainingTotals = trainer.meter.totals()
    seconds = max(totals.training_s, 1e-9)
    return TrainingOutcome(
        steps=trainer.state.global_step,
        epochs=trainer.state.epoch or 0.0,
        best_step=best_step,
        resumed_step=resumed_step,
        audio_s_per_s=totals.audio_s / seconds,
        utterances_per_s=totals.utterances / seconds,
        padding=totals.padded_s / totals.audio_s if totals.audio_s else 1.0,
        loss_first=logs[0]["loss"] if logs else None,
        loss_last=logs[-1]["loss"] if logs else None,
        blank_first=logs[0].get("blank_share") if logs else None,
        blank_last=logs[-1].get("blank_share") if logs else None,
        accuracy_first=logs[0].get("token_accuracy") if logs else None,
        accuracy_last=logs[-1].get("token_accuracy") if logs else None,
        audio_s=totals.audio_s,
        sessions=totals.sessions,
        earlier_s=earlier.wall_s,
        broken=broken,
        curve=tuple(
            {
                "step": entry["step"],
                "wer": entry["eval_wer"],
                **({"loss": entry["eval_loss"]} if "eval_loss" in entry else {}),
            }
            for entry in history
            if "eval_wer" in entry
        ),
    )

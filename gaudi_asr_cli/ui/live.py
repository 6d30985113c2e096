"""Progress of a command: a live board on a terminal, plain lines elsewhere.

A view is an observer: it is called with each event and matches them exhaustively, so that the type
checker finds a view that does not handle a new event.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from typing_extensions import assert_never

from gaudi_asr_cli.core.events import (
    CheckpointSaved,
    Evaluated,
    Event,
    Noticed,
    Observer,
    SegmentDone,
    StageAdvanced,
    StageFinished,
    StageStarted,
    StepLogged,
    TrainingStarted,
    UtteranceDone,
    ignore,
)
from gaudi_asr_cli.ui.console import CONSOLE
from gaudi_asr_cli.ui.messages import show_line, show_notice
from gaudi_asr_cli.ui.numbers import clock, count, padding, percent, span
from gaudi_asr_cli.ui.resizing import ResizingLive
from gaudi_asr_cli.ui.training_view import TrainingView, training_metric

STEP_LINE_EVERY_S = 5.0
STAGE_LINE_FROM_S = 1.0


@contextmanager
def opened_view(*, quiet: bool = False) -> Iterator[Observer]:
    """Yield an observer that shows progress on standard error until the block ends.

    With `quiet` it shows nothing.
    """
    if quiet:
        yield ignore
    elif CONSOLE.is_dumb_terminal or not CONSOLE.is_terminal:
        yield PlainView()
    else:
        board = TrainingView()
        # Results that go into a pipe must not be redirected to the terminal.
        with ResizingLive(
            board, console=CONSOLE, refresh_per_second=4, transient=True, redirect_stdout=False
        ):
            try:
                yield TerminalView(board)
            finally:
                # rich draws the last frame uncropped, and cannot erase one taller than the screen.
                board.clear()


def both(first: Observer, second: Observer) -> Observer:
    """Return an observer that passes each event to two others."""

    def observe(event: Event) -> None:
        first(event)
        second(event)

    return observe


class TerminalView:
    """Updates the live board and prints lasting lines above it."""

    def __init__(self, board: TrainingView) -> None:
        self.board = board

    def __call__(self, event: Event) -> None:
        match event:
            case StageStarted() | StageAdvanced() | UtteranceDone():
                self.board.follow_stage(event)
            case StageFinished():
                self.board.follow_stage(event)
                _show_stage_end(event)
            case Noticed():
                show_notice(event.message, event.remedy)
            case TrainingStarted():
                show_line(describe_training(event))
                self.board.start_training(event)
            case StepLogged():
                self.board.log_step(event)
            case Evaluated():
                show_line(describe_evaluation(event), "bold" if event.best else "")
                self.board.show_samples(event)
            case CheckpointSaved() | SegmentDone():
                pass
            case _:
                assert_never(event)


class PlainView:
    """Plain lines without control codes, few enough for a log file."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self.now_s = now_s
        self.shown_s = float("-inf")
        self.started_s = 0.0
        self.training: TrainingStarted | None = None

    def __call__(self, event: Event) -> None:
        match event:
            case StageStarted() | StageAdvanced() | SegmentDone() | UtteranceDone():
                pass
            case StageFinished():
                _show_stage_end(event)
            case Noticed():
                show_notice(event.message, event.remedy)
            case TrainingStarted():
                self.training, self.started_s = event, self.now_s()
                show_line(describe_training(event))
            case StepLogged():
                self._show_step(event)
            case Evaluated():
                self._show_evaluation(event)
            case CheckpointSaved():
                show_line(f"checkpoint: {event.path}")
            case _:
                assert_never(event)

    def _show_step(self, event: StepLogged) -> None:
        now_s = self.now_s()
        total = self.training.total_steps if self.training else 0
        if now_s - self.shown_s < STEP_LINE_EVERY_S and event.step < total:
            return
        self.shown_s = now_s
        left = ""
        if self.training and event.step > self.training.first_step:
            done = (event.step - self.training.first_step) / (total - self.training.first_step)
            left = f", {clock((now_s - self.started_s) * (1 / done - 1))} left"
        show_line(describe_step(event, total) + left)

    def _show_evaluation(self, event: Evaluated) -> None:
        show_line(describe_evaluation(event))
        for sample in event.samples:
            show_line(f"  reference:  {sample.reference}")
            show_line(f"  hypothesis: {sample.hypothesis}")


def describe_training(event: TrainingStarted) -> str:
    """Return a line about the training that starts."""
    start = f"from step {event.first_step:,} " if event.first_step else ""
    return (
        f"training {start}to step {event.total_steps:,} ({event.epochs:.3g} epochs of "
        f"{count(event.utterances, 'utterance')}, {span(event.audio_s)}, "
        f"padding {padding(event.padding)})"
    )


def describe_step(event: StepLogged, total_steps: int) -> str:
    """Return a line about a logged step."""
    return (
        f"step {event.step:,}/{total_steps:,}, epoch {event.epoch:.2f}: loss {event.loss:.3f}, "
        f"lr {event.learning_rate:.1e}, {' '.join(training_metric(event))}, "
        f"RTFx {event.audio_s_per_s:.0f}, padding {padding(event.padding)}, "
        f"loading {percent(event.loading_share)}"
    )


def describe_evaluation(event: Evaluated) -> str:
    """Return a line about an evaluation during training."""
    score = event.score
    loss = "" if event.loss is None else f", loss {event.loss:.3f}"
    best = "  (best so far)" if event.best else ""
    characters = f", CER {percent(score.cer)}" if score.unit == "word" else ""
    return (
        f"step {event.step:,}: {score.rate_name} {percent(score.wer)} "
        f"[{percent(score.wer_low)} to {percent(score.wer_high)}]{characters}{loss}{best}"
    )


def _show_stage_end(event: StageFinished) -> None:
    # Short stages are not worth a line.
    if event.seconds >= STAGE_LINE_FROM_S:
        show_line(f"{event.stage}: {event.seconds:.1f} s", "dim")

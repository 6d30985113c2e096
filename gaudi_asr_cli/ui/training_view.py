"""The live view: current stages, training metrics, and sample hypotheses."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.panel import Panel
from rich.progress import BarColumn, Progress, SpinnerColumn, Task, TaskID, TextColumn
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from typing_extensions import assert_never

from gaudi_asr_cli.core.evaluation.counts import align
from gaudi_asr_cli.core.events import (
    Evaluated,
    SamplePrediction,
    StageAdvanced,
    StageFinished,
    StageStarted,
    StepLogged,
    TrainingStarted,
    UtteranceDone,
)
from gaudi_asr_cli.ui.numbers import clock, padding, percent, size, sparkline

_LOADING_IS_BOTTLENECK = 0.3
_NAME_COLUMNS, _VALUE_COLUMNS = 15, 23


class TrainingView:
    """State of the stages and of training, drawn by rich whenever it refreshes."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self.now_s = now_s
        self.stages = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[amount]}"),
        )
        self.tasks: dict[str, TaskID] = {}
        self.training: TrainingStarted | None = None
        self.started_s = 0.0
        self.step: StepLogged | None = None
        self.losses: list[float] = []
        self.learning_rates: list[float] = []
        self.speeds: list[float] = []
        self.scores: list[float] = []
        self.rate_name = "WER"
        self.samples: tuple[SamplePrediction, ...] = ()

    def follow_stage(
        self, event: StageStarted | StageAdvanced | StageFinished | UtteranceDone
    ) -> None:
        match event:
            case StageStarted():
                self._end_stage(event.stage)
                self.tasks[event.stage] = self.stages.add_task(
                    event.stage, total=event.total, amount="", unit=event.unit
                )
            case StageAdvanced():
                self._advance_stage(event)
            case StageFinished():
                self._end_stage(event.stage)
            case UtteranceDone():
                self._count_utterance()
            case _:
                assert_never(event)

    def _count_utterance(self) -> None:
        """Advance the stage that began last by one utterance."""
        for stage in list(self.tasks)[-1:]:
            done = self._task(stage).completed + 1
            self._advance_stage(StageAdvanced(stage, done))

    def _task(self, stage: str) -> Task:
        return next(task for task in self.stages.tasks if task.id == self.tasks[stage])

    def _advance_stage(self, event: StageAdvanced) -> None:
        if event.stage not in self.tasks:
            return
        task = self._task(event.stage)
        total = f" of {task.total:,.0f}" if task.total else ""
        amount = f"{event.done:,.0f}{total} {task.fields['unit']}"
        self.stages.update(task.id, completed=event.done, amount=amount)

    def _end_stage(self, stage: str) -> None:
        task_id = self.tasks.pop(stage, None)
        if task_id is not None:
            self.stages.remove_task(task_id)

    def start_training(self, event: TrainingStarted) -> None:
        self.training, self.started_s = event, self.now_s()

    def log_step(self, event: StepLogged) -> None:
        self.step = event
        self.losses.append(event.loss)
        self.learning_rates.append(event.learning_rate)
        self.speeds.append(event.audio_s_per_s)

    def show_samples(self, event: Evaluated) -> None:
        self.scores.append(event.score.wer)
        self.rate_name = event.score.rate_name
        self.samples = event.samples

    def clear(self) -> None:
        """Remove everything, so that nothing is drawn any more."""
        self.training = None
        for stage in list(self.tasks):
            self._end_stage(stage)

    def __rich__(self) -> RenderableType:
        parts: list[RenderableType] = []
        if self.training:
            parts.append(self._training_panel(self.training))
        if self.tasks:
            parts.append(self.stages)
        return Group(*parts)

    def _training_panel(self, training: TrainingStarted) -> RenderableType:
        rows: list[RenderableType] = [self._progress_row(training)]
        if self.step:
            rows += [*self._curves(self.step), self._figures(self.step, training)]
        if self.samples:
            rows.append(samples_table(self.samples))
        return Panel(Group(*rows), title="training", title_align="left", box=box.ROUNDED)

    def _progress_row(self, training: TrainingStarted) -> RenderableType:
        step = self.step.step if self.step else training.first_step
        row = Table.grid(padding=(0, 2), expand=True)
        row.add_column(ratio=1)
        row.add_column(no_wrap=True)
        row.add_column(no_wrap=True, justify="right")
        bar = ProgressBar(total=training.total_steps, completed=step)
        elapsed = f"{clock(self.now_s() - self.started_s)}, {self._time_left(training)}"
        row.add_row(bar, f"step {step:,} of {training.total_steps:,}", elapsed)
        return row

    def _time_left(self, training: TrainingStarted) -> str:
        done = self.step.step - training.first_step if self.step else 0
        if done <= 0:
            return "-:-- left"
        step_s = (self.now_s() - self.started_s) / done
        left_s = step_s * (training.total_steps - training.first_step - done)
        return f"{clock(max(left_s, 0.0))} left"

    def _curves(self, step: StepLogged) -> list[RenderableType]:
        """Return a curve over all logs, or scores, for each metric."""
        wer = percent(self.scores[-1]) if self.scores else "not yet"
        best = f" (best {percent(min(self.scores))})" if len(self.scores) > 1 else ""
        speed = f"{step.audio_s_per_s:,.0f} RTFx"
        return [
            Curve("loss", f"{step.loss:.3f}", self.losses),
            Curve(self.rate_name, wer + best, self.scores),
            Curve("learning rate", f"{step.learning_rate:.2e}", self.learning_rates),
            Curve("speed", speed, self.speeds),
        ]

    def _figures(self, step: StepLogged, training: TrainingStarted) -> RenderableType:
        grid = Table.grid(padding=(0, 1))
        for _ in range(3):
            grid.add_column(style="dim", no_wrap=True)
            grid.add_column(no_wrap=True, min_width=12)
        memory = "unknown" if step.peak_memory_mb is None else size(1e6 * step.peak_memory_mb)
        epochs = f"{step.epoch:.2f} of {training.epochs:.2f}"
        grid.add_row("epoch", epochs, "padding", padding(step.padding), "memory", memory)
        grid.add_row(*training_metric(step), "bottleneck", bottleneck(step))
        return grid


@dataclass(frozen=True, slots=True)
class Curve:
    """A line of a metric: its name, its newest value, and a curve as wide as there is room."""

    name: str
    value: str
    values: Sequence[float]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        head = f"{self.name:<{_NAME_COLUMNS}}"
        value = f"{self.value:<{_VALUE_COLUMNS}}"
        room = options.max_width - cell_len(head) - cell_len(value)
        bars = (sparkline(self.values, room), "cyan")
        yield Text.assemble((head, "dim"), (value, "bold"), bars, no_wrap=True, end="\n")


def training_metric(step: StepLogged) -> tuple[str, str]:
    """Return the name and value of the metric besides the loss: token accuracy or blank share."""
    if step.token_accuracy is not None:
        return "token accuracy", percent(step.token_accuracy)
    return "blank", "unknown" if step.blank_share is None else percent(step.blank_share)


def bottleneck(step: StepLogged) -> Text:
    """Return the bottleneck, loading audio or computing, with the share of time spent loading."""
    if step.loading_share >= _LOADING_IS_BOTTLENECK:
        return Text(f"loading, {step.loading_share:.0%} of time", style="yellow")
    return Text(f"compute, {step.loading_share:.0%} loading")


def samples_table(samples: tuple[SamplePrediction, ...]) -> Table:
    """Return a table of references and hypotheses; differing words are underlined."""
    table = Table(box=box.SIMPLE_HEAD, expand=True, padding=(0, 1))
    table.add_column("reference", ratio=1, overflow="fold")
    table.add_column("hypothesis", ratio=1, overflow="fold")
    for sample in samples:
        reference, hypothesis = mark_differences(sample)
        table.add_row(reference, hypothesis if sample.hypothesis else Text("(nothing)", "red"))
    return table


def mark_differences(sample: SamplePrediction) -> tuple[Text, Text]:
    """Return both texts, with the words marked that have no equal one in a minimal alignment."""
    reference, hypothesis = sample.reference.split(), sample.hypothesis.split()
    chunks = align(reference, hypothesis).alignments[0]
    equal = [chunk for chunk in chunks if chunk.type == "equal"]
    in_reference = {i for one in equal for i in range(one.ref_start_idx, one.ref_end_idx)}
    in_hypothesis = {i for one in equal for i in range(one.hyp_start_idx, one.hyp_end_idx)}
    return (
        _mark(reference, in_reference, "green underline"),
        _mark(hypothesis, in_hypothesis, "red underline"),
    )


def _mark(words: Sequence[str], equal: Collection[int], style: str) -> Text:
    marked = (Text(word, "" if index in equal else style) for index, word in enumerate(words))
    return Text(" ").join(marked)

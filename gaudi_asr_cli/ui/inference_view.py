"""Progress of `infer`: seconds of audio, time passed and left; on a terminal segments too."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from gaudi_asr_cli.core.events import (
    Event,
    Observer,
    SegmentDone,
    StageAdvanced,
    StageStarted,
    UtteranceDone,
)
from gaudi_asr_cli.ui.console import CONSOLE, result_stream
from gaudi_asr_cli.ui.live import PlainView, both
from gaudi_asr_cli.ui.messages import show_line
from gaudi_asr_cli.ui.numbers import clock
from gaudi_asr_cli.ui.resizing import ResizingLive

BAR_COLUMNS = 24
REFRESHES_PER_S = 4
LINE_EVERY_S = 30.0
"""Time between lines of progress where there is no terminal: the log of a job."""


@dataclass(frozen=True, slots=True)
class InferenceView:
    """An observer that also writes the results; `follows` if it shows progress by audio."""

    observe: Observer
    follows: bool


@contextmanager
def opened_inference_view(write: Observer, *, quiet: bool = False) -> Iterator[InferenceView]:
    """Yield a view of `infer` until the block ends.

    Progress is shown live on an interactive terminal, and elsewhere in a line now and then.

    Args:
        write: Writes each result.
        quiet: Show nothing else.
    """
    if quiet:
        yield InferenceView(write, follows=False)
    elif CONSOLE.is_dumb_terminal or not CONSOLE.is_terminal:
        yield InferenceView(both(PlainProgress(), both(PlainView(), write)), follows=True)
    else:
        board = InferenceBoard()
        live = ResizingLive(
            board,
            console=CONSOLE,
            refresh_per_second=REFRESHES_PER_S,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        with live:
            yield InferenceView(BoardView(board, live, write), follows=True)


class PlainProgress:
    """Prints the progress as a line now and then."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._board = InferenceBoard(now_s)
        self._now_s = now_s
        self._shown_s = now_s()

    def __call__(self, event: Event) -> None:
        self._board.follow(event)
        shows = isinstance(event, UtteranceDone | SegmentDone)
        if shows and self._now_s() - self._shown_s >= LINE_EVERY_S:
            self._shown_s = self._now_s()
            show_line(self._board.describe())


class BoardView:
    """Updates the board, and writes results and messages above it."""

    def __init__(self, board: InferenceBoard, live: Live, write: Observer) -> None:
        self._board = board
        self._live = live
        self._show = both(PlainView(), write)

    def __call__(self, event: Event) -> None:
        self._board.follow(event)
        if isinstance(event, UtteranceDone) and result_stream().isatty():
            # The result goes to the same terminal by another stream, at the place of the board.
            self._live.stop()
            try:
                self._show(event)
            finally:
                self._live.start()
        else:
            self._show(event)


class InferenceBoard:
    """State of the transcription, drawn by rich whenever it refreshes."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._spinner = Spinner("dots")
        self._audio_s: float | None = None
        self._files = 0
        self._done_files = 0
        self._done_s = 0.0
        self._parts: dict[str, SegmentDone] = {}
        self._started_s: float | None = None
        self._is_open = False

    def follow(self, event: Event) -> None:
        """Take note of an event; from any thread."""
        match event:
            case StageStarted(audio_s=float()):
                self._audio_s, self._files = event.audio_s, round(event.total or 0)
            case StageAdvanced():
                self._is_open, self._started_s = True, self._now_s()
            case SegmentDone():
                self._parts[event.utterance_id] = event
            case UtteranceDone():
                self._parts.pop(event.utterance_id, None)
                self._done_files += 1
                self._done_s += event.duration_s
            case _:
                pass

    @property
    def done_s(self) -> float:
        """Return the seconds of audio transcribed so far, in whole files and in parts of files."""
        return self._done_s + sum(part.segment.end_s for part in list(self._parts.values()))

    def describe(self) -> str:
        """Return the progress as a line of text."""
        if self._audio_s is None:
            return ""
        done_s, audio_s = self.done_s, max(self._audio_s, self.done_s)
        files = "" if self._files == 1 else f", file {self._done_files} of {self._files}"
        return f"{clock(done_s)} of {clock(audio_s)} of audio{files}, {self._describe_speed()}"

    def _describe_speed(self) -> str:
        if not self._is_open:
            return "opening the model"
        done_s, passed_s = self.done_s, self._now_s() - (self._started_s or 0.0)
        elapsed = f"{clock(passed_s)} elapsed"
        if done_s <= 0 or passed_s <= 0:
            return f"{elapsed}, -:-- left"
        left_s = max((self._audio_s or 0.0) - done_s, 0.0) * passed_s / done_s
        return f"{elapsed}, {clock(left_s)} left, RTFx {done_s / passed_s:,.1f}"

    def __rich__(self) -> RenderableType:
        if self._audio_s is None:
            return Text("")
        row = Table.grid(padding=(0, 1))
        bar = ProgressBar(max(self._audio_s, self.done_s, 1e-9), self.done_s, width=BAR_COLUMNS)
        row.add_row(self._spinner, bar, Text(self.describe(), no_wrap=True, overflow="ellipsis"))
        parts = [_segment_line(part) for part in list(self._parts.values())[-2:]]
        return Group(row, *parts)


def _segment_line(part: SegmentDone) -> Text:
    text = f"  {clock(part.segment.start_s)}  {part.segment.text}"
    return Text(text, style="dim", no_wrap=True, overflow="ellipsis")

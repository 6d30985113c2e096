"""A live display that also erases its last frame where the terminal was made narrower."""

from __future__ import annotations

from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.control import Control
from rich.live import Live
from rich.live_render import LiveRender
from rich.segment import ControlType, Segment


class ResizingLive(Live):
    """`rich.live.Live`, whose frames are erased as high as the terminal shows them now.

    Terminals that reflow text break each line of a frame that has become too long for them; rich
    counts the lines that it wrote.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._live_render = ReflowedRender(
            self.get_renderable(), vertical_overflow=self.vertical_overflow, console=self.console
        )


class ReflowedRender(LiveRender):
    """A frame, and the rows that it takes up after the terminal has changed its width.

    Args:
        renderable: What is drawn.
        vertical_overflow: See `rich.live.Live`.
        console: The terminal.
    """

    def __init__(self, renderable: Any, *, vertical_overflow: Any, console: Console) -> None:
        super().__init__(renderable, vertical_overflow=vertical_overflow)
        self._console = console
        self._widths: list[int] = []

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        segments = list(super().__rich_console__(console, options))
        lines = Segment.split_lines(one for one in segments if isinstance(one, Segment))
        self._widths = [Segment.get_line_length(line) for line in lines]
        yield from segments

    def count_rows(self) -> int:
        """Return the rows of the last frame at the width that the terminal has now."""
        width = max(self._console.width, 1)
        return sum(max(1, -(-one // width)) for one in self._widths)

    def position_cursor(self) -> Control:
        rows = self.count_rows()
        if rows == 0:
            return Control()
        up = ((ControlType.CURSOR_UP, 1), (ControlType.ERASE_IN_LINE, 2)) * (rows - 1)
        return Control(ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2), *up)

    def restore_cursor(self) -> Control:
        up = ((ControlType.CURSOR_UP, 1), (ControlType.ERASE_IN_LINE, 2)) * self.count_rows()
        return Control(ControlType.CARRIAGE_RETURN, *up)

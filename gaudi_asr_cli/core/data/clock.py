"""The clock of a container: where audio lies that starts late, has holes, or jumps.

Time 0 is the container's start. What is missing before and between packets is silence, so that
whole files, spans, word times and subtitles share one clock.
"""

from __future__ import annotations

from dataclasses import dataclass

ROUNDED_S = 0.05
"""Times are rounded, to milliseconds in Matroska; audio is placed by its samples up to this."""

LONGEST_HOLE_S = 4 * 3600.0
"""A longer hole is a broken or restarted clock, and is not filled."""


@dataclass(slots=True)
class Clock:
    """Positions of decoded audio in seconds: `at_s` is where it has arrived, `jumps` counts breaks.

    `fills` is whether the container has a clock; otherwise audio simply follows audio.
    """

    fills: bool
    at_s: float = 0.0
    shift_s: float = 0.0
    jumps: int = 0

    def place(self, time_s: float | None) -> float:
        """Move to audio that begins at `time_s`, and return the seconds of silence before it."""
        if time_s is None or not self.fills:
            return 0.0
        hole_s = time_s + self.shift_s - self.at_s
        if abs(hole_s) <= ROUNDED_S:
            return 0.0
        if 0 < hole_s <= LONGEST_HOLE_S:
            self.at_s += hole_s
            return hole_s
        self.shift_s -= hole_s
        self.jumps += 1
        return 0.0

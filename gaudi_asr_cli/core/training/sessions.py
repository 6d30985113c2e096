"""The sessions of a run, from its events: also those that were killed before a checkpoint."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from gaudi_asr_cli.core.events import TrainingStarted
from gaudi_asr_cli.core.training.meter import TrainingTotals

LONGEST_SESSION_S = 366 * 86_400.0
"""No session lasts a year: more is a clock that was set."""


def add_sessions(totals: TrainingTotals, events: Path) -> TrainingTotals:
    """Return the totals with the sessions and the time of a run's events, where these are more.

    A checkpoint has the time up to it; the events go on to the last one before the end or the kill.

    Args:
        totals: Those of the checkpoint from which the run is resumed.
        events: The run's events.jsonl, which may be missing or damaged.
    """
    count, wall_s = _read_sessions(events)
    return replace(totals, sessions=max(totals.sessions, count), wall_s=max(totals.wall_s, wall_s))


def _read_sessions(events: Path) -> tuple[int, float]:
    """Return the number of sessions in which training began, and their seconds in all."""
    count, earlier_s, session_s, origin_s = 0, 0.0, 0.0, math.inf
    try:
        with events.open("rb") as file:
            for line in file:
                event = _parse(line)
                if event.get("event") == TrainingStarted.__name__:
                    count, earlier_s = count + 1, earlier_s + session_s
                    session_s = _seconds(event.get("elapsed_s"))
                    origin_s = _seconds(event.get("time_s")) - session_s
                elif _seconds(event.get("time_s")) - origin_s < LONGEST_SESSION_S:
                    session_s = max(session_s, _seconds(event.get("time_s")) - origin_s)
    except OSError:
        # The totals of the checkpoint remain.
        return 0, 0.0
    return count, earlier_s + session_s


def _parse(line: bytes) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        # The last line of a killed session may be cut.
        return {}
    return event if isinstance(event, dict) else {}


def _seconds(value: Any) -> float:
    """Return a time; 0 for what is none, as in the events of an earlier version."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value < 1e12 else 0.0

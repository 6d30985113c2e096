"""Formatting of numbers for people."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean

_BARS = "▁▂▃▄▅▆▇█"


def percent(rate: float) -> str:
    """Format a rate: 0.0423 is "4.2 %"."""
    # Plus zero, or a rate just below zero would be "-0.0 %".
    return f"{round(100 * rate, 1) + 0.0:.1f} %"


def padding(padded_over_real: float) -> str:
    """Format the ratio of padded to real audio: 1.016 is "1.6 %" padding."""
    return percent(padded_over_real - 1.0)


def clock(seconds: float) -> str:
    """Format a duration: 75 s is "1:15", 3675 s is "1:01:15"."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def span(seconds: float) -> str:
    """Format an amount of audio: "12.3 s", "4.2 min", "960.1 h"."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"


def count(number: int, noun: str, plural: str = "") -> str:
    """Format a count: "1 utterance", "2,000 utterances"; the default plural ends in s."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {plural or noun + 's'}"


def size(size_bytes: float) -> str:
    """Format a size: 1,500,000 bytes is "1.5 MB"."""
    for unit in ("B", "kB", "MB"):
        if size_bytes < 1000:
            return f"{size_bytes:.3g} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.1f} GB"


def sparkline(values: Sequence[float], width: int) -> str:
    """Draw all values as a row of at most `width` bars; of more values, means of equal shares."""
    finite = [value for value in values if value == value and abs(value) != float("inf")]
    if not finite or width < 1:
        return ""
    bars = min(width, len(finite))
    edges = [number * len(finite) // bars for number in range(bars + 1)]
    shown = [fmean(finite[start:end]) for start, end in pairwise(edges)]
    low, high = min(shown), max(shown)
    scale = (len(_BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(_BARS[round((value - low) * scale)] for value in shown)

"""Conversion of epochs, shares and intervals to optimiser steps."""

from __future__ import annotations

from typing import Literal

from gaudi_asr_cli.core.errors import RecipeError

Interval = int | Literal["epoch", "end"]


def count_updates(batches: int, accumulate: int) -> int:
    """Return the optimiser steps of an epoch; the last one may accumulate fewer batches."""
    return -(-batches // accumulate)


def count_steps(updates: int, epochs: float, max_steps: int | None) -> int:
    """Return the optimiser steps of the whole run, at least one."""
    return max_steps if max_steps is not None else max(1, round(updates * epochs))


def count_warmup(warmup: int | str, steps: int) -> int:
    """Return the warm-up in steps, from a number of steps or a share of all such as `10%`.

    Raises:
        RecipeError: `warmup` is neither a number nor a share.
    """
    text = str(warmup).strip()
    try:
        if text.endswith("%"):
            return round(steps * float(text[:-1]) / 100)
        return int(text)
    except ValueError:
        raise RecipeError(
            f"optimizer.warmup: {warmup!r} is neither a number of steps nor a share.",
            remedy="For example 500, or 10%.",
        ) from None


def count_interval(interval: Interval, updates: int, steps: int) -> int:
    """Return an interval in steps: the number itself, those of an epoch, or all."""
    if interval == "epoch":
        return min(updates, steps)
    return steps if interval == "end" else min(interval, steps)

"""Steps, from epochs and shares of them."""

from __future__ import annotations

from typing import Literal

from gaudi_asr_cli.core.errors import RecipeError

Interval = int | Literal["epoch", "end"]


def count_updates(batches: int, accumulate: int) -> int:
    """Optimiser steps in an epoch of so many batches; the last one may gather fewer."""
    return -(-batches // accumulate)


def count_steps(updates: int, epochs: float, max_steps: int | None) -> int:
    """Optimiser steps of the whole run; at least one."""
    return max_steps if max_steps is not None else max(1, round(updates * epochs))


def count_warmup(warmup: int | str, steps: int) -> int:
    """Warm-up as steps, from steps or a share of all of them such as `10%`.

    Raises:
        RecipeError: Neither a number nor a share.
    """
    text = str(warmup).strip()
    try:
        if text.endswith("%"):
            return round(steps * float(text[:-1]) / 100)
        return int(text)
    except ValueError:
        raise RecipeError(
            f"optimizer.warmup: {warmup!r} is neither steps nor a share.",
            remedy="For example 500, or 10%.",
        ) from None


def count_interval(interval: Interval, updates: int, steps: int) -> int:
    """An interval as steps: so many, an epoch's, or all of them."""
    if interval == "epoch":
        return min(updates, steps)
    return steps if interval == "end" else min(interval, steps)

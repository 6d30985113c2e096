"""Where an exception was raised, for messages that must not hold parts of a request."""

from __future__ import annotations

import traceback
from pathlib import Path

FRAMES = 3


def describe_place(error: BaseException) -> str:
    """Return the type of an exception and the lines that raised it, without what it says."""
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES:]
    places = " < ".join(f"{Path(one.filename).name}:{one.lineno}" for one in reversed(frames))
    return f"{type(error).__name__} at {places}"

"""Sound as a decoder hands it over, before mixing and resampling."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from gaudi_asr_cli.core.records import AudioSpan

LOWEST_RATE_HZ = 2_000
"""Less carries no speech; resampled, a damaged header of 1 Hz would fill the memory."""

END_TOLERANCE_S = 0.002
"""Declared durations are rounded to milliseconds; a span that ends this near the end reaches it."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """`samples` is float32 (T, C) of a span; `total_s` what the header says of the whole file."""

    samples: NDArray[np.float32]
    rate_hz: int
    total_s: float | None

    @property
    def duration_s(self) -> float:
        return len(self.samples) / self.rate_hz


def find_end_s(span: AudioSpan, total_s: float | None) -> float:
    """Where `span` ends in a file of `total_s` seconds; infinity where it ends with the file.

    A header may be a frame or two short of the truth, so a span that reaches the end is read as
    far as there is sound.
    """
    if span.duration_s is None:
        return math.inf
    end_s = span.start_s + span.duration_s
    if total_s is not None and abs(end_s - total_s) <= END_TOLERANCE_S:
        return math.inf
    return end_s

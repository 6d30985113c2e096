"""Audio as a decoder returns it, before downmixing and resampling."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from gaudi_asr_cli.core.records import AudioSpan

LOWEST_RATE_HZ = 2_000
"""Less carries no speech; resampling from a damaged header's 1 Hz would exhaust the memory."""

END_TOLERANCE_S = 0.002
"""Declared durations are rounded to milliseconds; a span this close to the end reaches it."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """`samples` is float32 (T, C) of a span; `undecoded_s` of it is silence in place of damage."""

    samples: NDArray[np.float32]
    rate_hz: int
    undecoded_s: float = 0.0

    @property
    def duration_s(self) -> float:
        return len(self.samples) / self.rate_hz


def find_end_s(span: AudioSpan, total_s: float | None) -> float:
    """Return where `span` ends in a file of `total_s` seconds; infinity: at the end of the file.

    A header may be a frame or two short, so a span that reaches the end is read as far as there
    is audio.
    """
    if span.duration_s is None:
        return math.inf
    end_s = span.start_s + span.duration_s
    if total_s is not None and abs(end_s - total_s) <= END_TOLERANCE_S:
        return math.inf
    return end_s

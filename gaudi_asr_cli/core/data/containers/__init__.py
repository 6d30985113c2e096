"""Containers of audio: what their bytes hold, whatever their headers declare.

A file is planned as parts, each of which a decoder reads correctly as a file of its own: the
links of a chained Ogg file, the files joined to one MP3, the chunks of a WAV file of unknown size.
Only headers are read.
"""

from __future__ import annotations

from typing import IO

from gaudi_asr_cli.core.data.containers import aiff, au, flac, mp3, ogg, wav
from gaudi_asr_cli.core.data.containers.base import WHOLE, FilePlan, PartPlan

__all__ = ["FilePlan", "PartPlan", "plan_file"]

_PLANNERS = (wav.plan, flac.plan, mp3.plan, ogg.plan, aiff.plan, au.plan)


def plan_file(file: IO[bytes], size: int) -> FilePlan:
    """Return the parts of an audio file of `size` bytes; one whole part for any other container."""
    head = file.read(16)
    for planner in _PLANNERS:
        file.seek(0)
        plan = planner(head, file, size)
        if plan is not None:
            return plan
    return FilePlan((WHOLE,))

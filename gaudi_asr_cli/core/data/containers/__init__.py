"""Containers of audio: what their bytes hold, whatever their headers declare.

A file is planned as parts, each of which a decoder reads correctly as a file of its own: the
links of a chained Ogg file, the files joined to one MP3, the chunks of a WAV file of unknown size.
Only headers are read.
"""

from __future__ import annotations

from typing import IO

from gaudi_asr_cli.core.data.containers.aiff import plan_aiff
from gaudi_asr_cli.core.data.containers.au import plan_au
from gaudi_asr_cli.core.data.containers.base import WHOLE_FILE, FilePlan, PartPlan
from gaudi_asr_cli.core.data.containers.caf import plan_caf
from gaudi_asr_cli.core.data.containers.flac import plan_flac
from gaudi_asr_cli.core.data.containers.mp3 import plan_mp3
from gaudi_asr_cli.core.data.containers.ogg import plan_ogg
from gaudi_asr_cli.core.data.containers.wav import plan_wav

__all__ = ["FilePlan", "PartPlan", "plan_file"]

_PLANNERS = (plan_wav, plan_flac, plan_mp3, plan_ogg, plan_aiff, plan_au, plan_caf)


def plan_file(file: IO[bytes], size: int) -> FilePlan:
    """Return the parts of an audio file of `size` bytes; one whole part for any other container."""
    head = file.read(16)
    for planner in _PLANNERS:
        file.seek(0)
        plan = planner(head, file, size)
        if plan is not None:
            return plan
    return FilePlan((WHOLE_FILE,))

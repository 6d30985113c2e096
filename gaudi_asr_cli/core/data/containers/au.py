"""AU files of Sun and NeXT."""

from __future__ import annotations

import struct
from typing import IO

from gaudi_asr_cli.core.data.containers.base import WHOLE_FILE, FilePlan, PartPlan, is_trailer

_UNKNOWN = 0xFFFF_FFFF
_HEADER_BYTES = 24


def plan_au(head: bytes, file: IO[bytes], size: int) -> FilePlan | None:
    """Plan an AU file; None where it is none.

    Nothing but audio follows the header, so audio of which too little or none is declared is read
    to the end of the file.
    """
    if head[:4] not in {b".snd", b"dns."} or len(head) < 12:
        return None
    order = ">" if head[:4] == b".snd" else "<"
    start, declared = struct.unpack_from(f"{order}II", head, 4)
    held = size - start
    unknown = declared in {0, _UNKNOWN}
    if not _HEADER_BYTES <= start < size or (not unknown and declared >= held):
        return FilePlan((WHOLE_FILE,))
    if not unknown and is_trailer(file, start + declared, size):
        return FilePlan((WHOLE_FILE,))
    note = f"the header declares {declared:,} bytes of audio, {held:,} follow: all is read"
    pieces = ((0, 8), struct.pack(f"{order}I", _UNKNOWN), (12, size))
    return FilePlan((PartPlan(pieces),), notes=() if unknown else (note,))

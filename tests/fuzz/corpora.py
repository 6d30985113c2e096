"""Short audio for the data fuzzers, and a reader that does what every command does."""

from __future__ import annotations

import json
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
import soundfile

from gaudi_asr_cli.core.data.index import read_index, write_index
from gaudi_asr_cli.core.data.overlaps import find_overlaps
from gaudi_asr_cli.core.data.reading import read_measured
from gaudi_asr_cli.core.data.sources import ReadOptions


@cache
def encode_wav() -> bytes:
    """Return a wav of a tenth of a second."""
    encoded = BytesIO()
    soundfile.write(encoded, np.full(1_600, 0.25), 16_000, format="WAV")
    return encoded.getvalue()


def put_audio(folder: Path) -> None:
    """Write the two files that lists refer to into the folder."""
    (folder / "wav").mkdir()
    for name in ("a.wav", "wav/é.wav"):
        (folder / name).write_bytes(encode_wav())


def read_everything(source: Path | str) -> None:
    """Read and measure a source, and write its index, as every command does."""
    measured = read_measured([str(source)], ReadOptions(needs_text=False))
    for overlap in find_overlaps(measured.utterances):
        str(overlap).encode()
    index = Path(str(source).partition("#")[0]).parent / "fuzz-index.jsonl"
    write_index(index, measured)
    again = read_index(index)
    index.unlink()
    assert (again.utterances, again.broken) == (measured.utterances, measured.broken)
    assert all(utterance.audio.duration_s > 0 for utterance in measured.utterances)
    assert len({utterance.id for utterance in measured.utterances}) == len(measured.utterances)
    for utterance in measured.utterances:
        fields = [utterance.id, utterance.text, utterance.speaker]
        json.dumps(fields, ensure_ascii=False).encode()
    for broken in measured.broken:
        str(broken).encode()

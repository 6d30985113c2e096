"""A little audio for the fuzzers of data, and reading it as every command does."""

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
    """A tenth of a second."""
    encoded = BytesIO()
    soundfile.write(encoded, np.full(1_600, 0.25), 16_000, format="WAV")
    return encoded.getvalue()


def put_audio(folder: Path) -> None:
    """Put two files that lists may name into the folder."""
    (folder / "wav").mkdir()
    for name in ("a.wav", "wav/é.wav"):
        (folder / name).write_bytes(encode_wav())


def read_everything(source: Path | str) -> None:
    """Read and measure a source, and write down what was found, as every command does."""
    measured = read_measured([str(source)], ReadOptions(needs_text=False))
    for overlap in find_overlaps(measured.utterances):
        str(overlap).encode()
    index = Path(str(source).partition("#")[0]).parent / "fuzz-index.jsonl"
    write_index(index, measured)
    again = read_index(index)
    index.unlink()
    assert (again.utterances, again.broken) == (measured.utterances, measured.broken)
    assert all(one.audio.duration_s > 0 for one in measured.utterances)
    assert len({one.id for one in measured.utterances}) == len(measured.utterances)
    for one in measured.utterances:
        json.dumps([one.id, one.text, one.speaker], ensure_ascii=False).encode()
    for broken in measured.broken:
        str(broken).encode()

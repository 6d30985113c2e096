"""Mutated audio files of all containers, measured, loaded and streamed as every command does."""

from __future__ import annotations

import json
import random
import resource
import struct
import sys
import tempfile
from functools import cache
from itertools import islice
from pathlib import Path

import numpy as np
from fuzzing import main

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from helpers.audio_files import encode, forget_flac_length, move_ogg, mux, speech

from gaudi_asr_cli.core.data.audio import LoadedAudio, load_audio
from gaudi_asr_cli.core.data.reading import read_measured
from gaudi_asr_cli.core.data.sources import ReadOptions
from gaudi_asr_cli.core.inference.long_form import open_blocks
from gaudi_asr_cli.core.inference.transcribe import is_long
from gaudi_asr_cli.core.records import AudioSpan

SECONDS = 0.4
MEMORY_KILOBYTES = 1_000_000
BLOCKS = 12
"""A network takes the blocks of a long file one by one; twenty minutes of them are read here."""

SOUNDFILE = ("wav", "flac", "mp3", "ogg", "aiff", "au", "caf", "w64", "rf64")
MUXED = (
    *(("mkv", "pcm_s16le", None), ("webm", "libopus", None), ("m4a", "aac", "mp4")),
    *(("opus", "libopus", "ogg"), ("oga", "flac", "ogg"), ("ts", "aac", "mpegts")),
)
EXTREMES = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, 0xFFFF_FFFF, 0x7FFF_FFFF_FFFF_FFFF)


@cache
def originals() -> dict[str, tuple[bytes, ...]]:
    """Return files of every container: plain, streamed, late, with a hole, joined."""
    first, second = speech(SECONDS), speech(SECONDS / 2, 1)
    files = {
        form: (bytes(encode(first, form.upper())), bytes(encode(second, form.upper())))
        for form in SOUNDFILE
    }
    files["flac"] += (forget_flac_length(bytearray(files["flac"][0])),)
    files["ogg"] += (move_ogg(files["ogg"][0], late_s=1), move_ogg(files["ogg"][0], hole=(0.1, 1)))
    files["wav"] += (bytes(encode(first, "WAV", subtype="ULAW")),)
    with tempfile.TemporaryDirectory() as folder:
        for suffix, codec, form in MUXED:
            moves = ({}, {"late_s": 1.0}, {"hole": (0.2, 1.0)}, {"languages": ("eng", "deu")})
            path = Path(folder) / f"a.{suffix}"
            files[suffix] = tuple(
                mux(path, codec, first, form=form, **move).path.read_bytes()
                for move in (moves[:3] if form == "ogg" else moves)
            )
    return files


def mutate_audio(rng: random.Random, data: bytes) -> bytes:
    """Return `data` with one to eight fields, ranges or bytes changed, more often at its start."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        early = rng.random() < 0.6
        at = rng.randrange(min(len(changed), 200) if early else len(changed)) if changed else 0
        changed = rng.choice(MUTATIONS)(rng, changed, at)
    return bytes(changed)


def _set_number(rng: random.Random, data: bytearray, at: int) -> bytearray:
    form = rng.choice(("<B", "<H", ">H", "<I", ">I", "<Q", ">Q"))
    size = struct.calcsize(form)
    number = rng.choice((*EXTREMES, rng.randrange(1 << 64))) & ((1 << 8 * size) - 1)
    data[at : at + size] = struct.pack(form, number)
    return data


def _flip(rng: random.Random, data: bytearray, at: int) -> bytearray:
    if data:
        data[at] ^= 1 << rng.randrange(8)
    return data


def _cut(rng: random.Random, data: bytearray, at: int) -> bytearray:
    return data[:at] if rng.random() < 0.4 else data[:at] + data[at + rng.randint(1, 400) :]


def _double(rng: random.Random, data: bytearray, at: int) -> bytearray:
    part = data[at : at + rng.choice((4, 40, 400, len(data)))]
    return data[:at] + part * rng.randint(2, 4) + data[at + len(part) :]


def _overwrite(rng: random.Random, data: bytearray, at: int) -> bytearray:
    size = rng.choice((1, 4, 64, 1_000))
    data[at : at + size] = rng.choice((rng.randbytes(size), bytes(size), b"\xff" * size))
    return data


MUTATIONS = (_set_number, _set_number, _flip, _flip, _cut, _double, _overwrite)


def case(rng: random.Random, folder: Path) -> None:
    """Read a mutated file, sometimes two joined, through a list and on its own."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    files = originals()
    suffix = rng.choice(sorted(files))
    data = mutate_audio(rng, rng.choice(files[suffix]))
    if rng.random() < 0.15:
        data += rng.choice(files[suffix if rng.random() < 0.8 else rng.choice(sorted(files))])
    path = folder / f"a.{suffix}"
    path.write_bytes(data)
    row = {"audio_filepath": path.name, "text": "one", "duration": rng.choice((None, 0.2, 400.0))}
    (folder / "t.jsonl").write_text(json.dumps(row))
    measured = read_measured([str(folder / "t.jsonl")], ReadOptions())
    for broken in measured.broken:
        assert str(path) in str(broken)
    for utterance in measured.utterances:
        assert 0 < utterance.audio.duration_s < 1e7
        read(utterance.audio)
    read(AudioSpan(path, track=rng.choice((None, None, 1, "de"))))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert after - before < MEMORY_KILOBYTES, f"{after - before:,} KB"


def read(span: AudioSpan) -> None:
    """Load what a model would receive."""
    blocks = islice(open_blocks(span), BLOCKS) if is_long(span) else iter((load_audio(span),))
    samples = 0
    for block in blocks:
        check(block)
        samples += len(block.samples)
    assert samples


def check(loaded: LoadedAudio) -> None:
    """Check that samples are finite numbers, and that a loss is plausible."""
    assert np.isfinite(loaded.samples).all()
    assert 0 <= loaded.lost_s < 1e7


if __name__ == "__main__":
    main(case)

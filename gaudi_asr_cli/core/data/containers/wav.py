"""RIFF WAVE files and their 64-bit forms, RF64 and BW64."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import IO

from gaudi_asr_cli.core.data.containers.base import (
    IMPLAUSIBLE,
    WHOLE_FILE,
    FilePlan,
    PartPlan,
    Piece,
    read_at,
)
from gaudi_asr_cli.core.data.containers.chunks import RiffChunk, continues_as_chunks, walk_chunks

_FORMS = (b"RIFF", b"RF64", b"BW64")
_STREAMED_BYTES = 0x7FFF_0000
"""Programs that write wav to a pipe cannot know its size: they write 0 or the maximum."""
_LARGEST_RIFF = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class _Audio:
    """The range of a data chunk's audio, and the size that it declares, None where unknown."""

    start: int
    stop: int
    declared: int | None


@dataclass(frozen=True, slots=True)
class _Wave:
    """Chunks before the audio, the ranges of the audio, and the size that is declared for it."""

    header: tuple[RiffChunk, ...]
    audio: tuple[tuple[int, int], ...]
    bytes_per_s: int
    declared: int | None
    stop: int

    @property
    def audio_bytes(self) -> int:
        return sum(stop - start for start, stop in self.audio)


def plan_wav(head: bytes, file: IO[bytes], size: int) -> FilePlan | None:
    """Plan a WAV file; None where it is none.

    All data chunks are read, one that declares no size or too little to the end of the file, and
    whole files that follow the first too.
    """
    if head[:4] not in _FORMS or head[8:12] != b"WAVE":
        return None
    parts: list[_Wave] = []
    start = 0
    while read_at(file, start, 4) in _FORMS and len(parts) < 1_000:
        wave = _read_wave(file, start, size)
        if wave is None:
            break
        parts.append(wave)
        start = wave.stop
    if not parts:
        return FilePlan((WHOLE_FILE,))
    declared_s = _declared_s(parts)
    if len(parts) == 1 and _is_ordinary(parts[0]):
        return FilePlan((WHOLE_FILE,), declared_s)
    return FilePlan(
        tuple(PartPlan(_write_pieces(file, wave)) for wave in parts),
        declared_s,
        tuple(note for wave in parts[:1] for note in _describe(wave)),
    )


def _read_wave(file: IO[bytes], start: int, size: int) -> _Wave | None:
    """Read the chunks of the WAV file that starts at `start`; None where it has no audio."""
    header: list[RiffChunk] = []
    audio: list[_Audio] = []
    end = start + 12
    for chunk in walk_chunks(file, start + 12, size, "<"):
        if chunk.name in _FORMS:
            break
        end = chunk.stop
        if chunk.name == b"data":
            found = _find_audio(file, chunk, _read_large_size(file, header), size)
            audio.append(found)
            end = found.stop + (found.stop - found.start) % 2
            if found.stop != chunk.start + chunk.size:
                break
        elif not audio and chunk.stop <= size:
            header.append(chunk)
    bytes_per_s = _read_bytes_per_s(file, header)
    if not audio or not bytes_per_s:
        return None
    declared = [one.declared for one in audio]
    total = None if None in declared else sum(size or 0 for size in declared)
    ranges = tuple((one.start, one.stop) for one in audio)
    return _Wave(tuple(header), ranges, bytes_per_s, total, end)


def _read_bytes_per_s(file: IO[bytes], header: list[RiffChunk]) -> int:
    body = _read_body(file, header, b"fmt ")
    return int(struct.unpack_from("<I", body, 8)[0])


def _read_large_size(file: IO[bytes], header: list[RiffChunk]) -> int:
    """Return the size of the audio in a 64-bit file; 0 in any other."""
    return int(struct.unpack_from("<Q", _read_body(file, header, b"ds64"), 8)[0])


def _read_body(file: IO[bytes], header: list[RiffChunk], name: bytes) -> bytes:
    starts = (chunk.start for chunk in header if chunk.name == name)
    start = next(starts, None)
    return (b"" if start is None else read_at(file, start, 16)).ljust(16, b"\0")


def _find_audio(file: IO[bytes], chunk: RiffChunk, large_size: int, size: int) -> _Audio:
    """Return where the audio of a data chunk lies, whatever size it declares."""
    start = chunk.start
    wanted = large_size if chunk.size == _LARGEST_RIFF else chunk.size
    held = max(size - start, 0)
    if not wanted and chunk.size == 0 and continues_as_chunks(file, start, size, "<"):
        # An empty recording has chunks after its audio, an interrupted one audio.
        return _Audio(start, start, 0)
    if not wanted or wanted >= max(_STREAMED_BYTES, 2 * held) or wanted > IMPLAUSIBLE * held:
        return _Audio(start, size, None)
    stop = start + wanted
    if stop >= size or not continues_as_chunks(file, stop + wanted % 2, size, "<"):
        return _Audio(start, size, wanted)
    return _Audio(start, stop, wanted)


def _is_ordinary(wave: _Wave) -> bool:
    """Return whether libsndfile reads the audio as it is."""
    return len(wave.audio) == 1 and wave.declared is not None and wave.declared >= wave.audio_bytes


def _declared_s(parts: list[_Wave]) -> float | None:
    if any(wave.declared is None for wave in parts):
        return None
    return sum((wave.declared or 0) / wave.bytes_per_s for wave in parts)


def _describe(wave: _Wave) -> list[str]:
    if wave.declared is None or wave.declared >= wave.audio_bytes:
        return []
    declared_s, held_s = (size / wave.bytes_per_s for size in (wave.declared, wave.audio_bytes))
    return [f"the header declares {declared_s:.2f} s, {held_s:.2f} s of audio follow: all is read"]


def _write_pieces(file: IO[bytes], wave: _Wave) -> tuple[Piece, ...]:
    """Return a WAV file with the same format and one data chunk of the right size."""
    chunks = b"".join(_copy_chunk(file, chunk) for chunk in wave.header if chunk.name != b"ds64")
    size = wave.audio_bytes
    if len(chunks) + size + 20 > _LARGEST_RIFF:
        large = struct.pack("<QQQI", len(chunks) + size + 48, size, 0, 0)
        start = b"RF64\xff\xff\xff\xffWAVEds64" + struct.pack("<I", len(large)) + large
        return (start + chunks + b"data\xff\xff\xff\xff", *wave.audio)
    start = b"RIFF" + struct.pack("<I", len(chunks) + size + 12) + b"WAVE"
    return (start + chunks + b"data" + struct.pack("<I", size), *wave.audio)


def _copy_chunk(file: IO[bytes], chunk: RiffChunk) -> bytes:
    # Of the others decoders need nothing.
    if chunk.name not in {b"fmt ", b"fact"} or chunk.size > 65_536:
        return b""
    body = read_at(file, chunk.start, chunk.size)
    return chunk.name + struct.pack("<I", chunk.size) + body + bytes(chunk.size % 2)

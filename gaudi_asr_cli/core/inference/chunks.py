"""Long audio in overlapping chunks, stitched frame by frame: memory stays bounded.

Frame i of what is stitched lies at i times `frame_s` of the sound, as if it had been heard whole.
Convolutions make the same of a frame in its chunk as in the whole sound, for a chunk starts on a
frame and every kept frame has `STRIDE_S` of sound on either side; attention and the statistics of
a normalisation see the chunk only, as they saw utterances of that length in training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gaudi_asr_cli.core.models.geometry import FrameGeometry
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ, Emissions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

LONGEST_S = 30.0
"""Longer audio is cut: attention grows with the square of the length."""
CHUNK_S = 20.0
STRIDE_S = 2.0
"""Context on each side of a chunk, heard but not kept."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Samples `start` to `end` of a sound are heard, its frames `keep_from` to `keep_to` kept.

    Frames are those of the whole sound. The chunk starts on a frame, so frame f of the sound is
    frame f - `first_frame` of the chunk.
    """

    start: int
    end: int
    first_frame: int
    keep_from: int
    keep_to: int


@dataclass(frozen=True, slots=True)
class ChunkGrid:
    """Where chunks lie, in frames: each keeps `step` of them and hears `stride` on either side."""

    geometry: FrameGeometry
    step: int
    stride: int

    @classmethod
    def for_geometry(cls, geometry: FrameGeometry) -> ChunkGrid:
        """Chunks of 20 s with 2 s on either side, or as long as the network's frames demand."""
        # SEW pools frames in pairs: a chunk that starts on an odd frame would pair others.
        unit = geometry.minimum_frames
        field = -(-geometry.minimum_samples // geometry.frame_samples)
        stride = max(round(STRIDE_S / geometry.frame_s), field)
        stride += -stride % unit
        step = round(CHUNK_S / geometry.frame_s) - 2 * stride
        return cls(geometry, max(step - step % unit, stride), stride)

    def inner(self, number: int) -> Chunk:
        """Chunk `number`, counted from 0, of a sound that goes on behind it."""
        keep_from = number * self.step
        first = max(0, keep_from - self.stride)
        return Chunk(
            start=first * self.geometry.frame_samples,
            end=(keep_from + self.step + self.stride) * self.geometry.frame_samples,
            first_frame=first,
            keep_from=keep_from,
            keep_to=keep_from + self.step,
        )

    def last(self, number: int, samples: int) -> Chunk:
        """Chunk `number` of a sound that ends in it, after so many samples in all."""
        inner = self.inner(number)
        frames = self.geometry.count_frames(samples)
        return Chunk(inner.start, samples, inner.first_frame, inner.keep_from, frames)


def plan_chunks(samples: int, geometry: FrameGeometry) -> tuple[Chunk, ...]:
    """Chunks that together keep each frame of a sound exactly once; one chunk up to 30 s."""
    if samples <= LONGEST_S * SAMPLE_RATE_HZ:
        return (Chunk(0, samples, 0, 0, geometry.count_frames(samples)),)
    grid = ChunkGrid.for_geometry(geometry)
    chunks: list[Chunk] = []
    while (chunk := grid.inner(len(chunks))).end < samples:
        chunks.append(chunk)
    return (*chunks, grid.last(len(chunks), samples))


def cut_chunks(
    blocks: Iterable[Samples], geometry: FrameGeometry
) -> Iterator[tuple[Chunk, Samples]]:
    """The chunks of `plan_chunks` and their samples, of a sound that comes in blocks (T,).

    Holds no more than a block and a chunk; the length of the sound need not be known before.
    """
    grid, number = ChunkGrid.for_geometry(geometry), 0
    held, held_from = np.zeros(0, dtype=np.float32), 0
    for block in blocks:
        held = np.concatenate([held, block])
        reached = held_from + len(held)
        # Until it is longer than that, the sound may still be one to be heard whole.
        if reached <= LONGEST_S * SAMPLE_RATE_HZ:
            continue
        while (chunk := grid.inner(number)).end < reached:
            yield chunk, held[chunk.start - held_from : chunk.end - held_from]
            number += 1
            following = grid.inner(number).start
            held, held_from = held[following - held_from :], following
    samples = held_from + len(held)
    last = grid.last(number, samples) if number else plan_chunks(samples, geometry)[-1]
    yield last, held[last.start - held_from :]


def infer_chunks(
    hear: Callable[[Samples], Emissions], blocks: Iterable[Samples], geometry: FrameGeometry
) -> Iterator[Emissions]:
    """Emissions (1, f, V) of one chunk after another, each cut to the frames that it keeps.

    Args:
        hear: Makes emissions (1, F, V) of a sound (T,).
        blocks: The sound, in order.
        geometry: How many frames `hear` makes.
    """
    for chunk, samples in cut_chunks(blocks, geometry):
        yield keep_frames(chunk, hear(samples))


def keep_frames(chunk: Chunk, part: Emissions) -> Emissions:
    """The frames (1, f, V) that a chunk keeps of its emissions (1, F, V)."""
    kept = part.log_probs[
        :, chunk.keep_from - chunk.first_frame : chunk.keep_to - chunk.first_frame
    ]
    return Emissions(kept, np.array([kept.shape[1]], dtype=np.int64), part.frame_s)


def stitch(chunks: Sequence[Chunk], parts: Sequence[Emissions]) -> Emissions:
    """Emissions (1, F, V) of a whole sound from those (1, f, V) of its chunks."""
    if len(parts) == 1:
        return parts[0]
    kept = [keep_frames(chunk, part) for chunk, part in zip(chunks, parts, strict=True)]
    log_probs = np.concatenate([part.log_probs for part in kept], axis=1)
    frames = np.array([log_probs.shape[1]], dtype=np.int64)
    return Emissions(log_probs, frames, parts[0].frame_s)

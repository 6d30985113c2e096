"""Chunked inference: long audio in overlapping chunks, stitched frame by frame in bounded memory.

Frame i of the stitched emissions lies at i times `frame_s` of the audio, as without chunks.
Convolutions compute the same for a frame in its chunk as in the whole audio, because a chunk starts
on a frame and every kept frame has `STRIDE_S` of context on either side. Attention and the
statistics of normalisation cover the chunk only, as in training on utterances of that length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gaudi_asr_cli.core.models.geometry import FrameGeometry
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ, Emissions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

LONGEST_S = 30.0
"""Longer audio is cut into chunks: attention grows with the square of the length."""
CHUNK_S = 20.0
STRIDE_S = 2.0
"""Context on each side of a chunk, whose frames are discarded."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Samples `start` to `end` of the audio, of which frames `keep_from` to `keep_to` are kept.

    Frames are counted in the whole audio. The chunk starts on a frame, so frame f of the audio is
    frame f - `first_frame` of the chunk.
    """

    start: int
    end: int
    first_frame: int
    keep_from: int
    keep_to: int


@dataclass(frozen=True, slots=True)
class ChunkGrid:
    """The layout of chunks in frames: each keeps `step`, with `stride` of context on each side."""

    geometry: FrameGeometry
    step: int
    stride: int

    @classmethod
    def for_geometry(cls, geometry: FrameGeometry) -> ChunkGrid:
        """Lay out chunks of 20 s with strides of 2 s, or more if the receptive field needs it."""
        # SEW pools frames in pairs: a chunk that starts on an odd frame would pair different ones.
        unit = geometry.minimum_frames
        field = -(-geometry.minimum_samples // geometry.frame_samples)
        stride = max(round(STRIDE_S / geometry.frame_s), field)
        stride += -stride % unit
        step = round(CHUNK_S / geometry.frame_s) - 2 * stride
        return cls(geometry, max(step - step % unit, stride), stride)

    def inner(self, number: int) -> Chunk:
        """Return chunk `number`, from 0, of audio that continues after it."""
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
        """Return chunk `number` of audio that ends in it, after `samples` in all."""
        inner = self.inner(number)
        frames = self.geometry.count_frames(samples)
        return Chunk(inner.start, samples, inner.first_frame, inner.keep_from, frames)


def plan_chunks(samples: int, geometry: FrameGeometry) -> tuple[Chunk, ...]:
    """Plan chunks that together keep each frame exactly once; one chunk up to 30 s."""
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
    """Yield the chunks of `plan_chunks` and their samples, from audio in blocks (T,).

    At most a block and a chunk are in memory; the length of the audio need not be known.
    """
    grid, number = ChunkGrid.for_geometry(geometry), 0
    held, held_from = np.zeros(0, dtype=np.float32), 0
    for block in blocks:
        held = np.concatenate([held, block])
        reached = held_from + len(held)
        # Up to this length the audio may still turn out to be a single chunk.
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
    infer: Callable[[Samples], Emissions], blocks: Iterable[Samples], geometry: FrameGeometry
) -> Iterator[Emissions]:
    """Yield the emissions (1, f, V) of each chunk, cut to the frames that it keeps.

    Args:
        infer: Computes emissions (1, F, V) of samples (T,).
        blocks: The audio, in order.
        geometry: Frame geometry of the network behind `infer`.
    """
    for chunk, samples in cut_chunks(blocks, geometry):
        yield keep_frames(chunk, infer(samples))


def keep_frames(chunk: Chunk, part: Emissions) -> Emissions:
    """Return the frames (1, f, V) that a chunk keeps of its emissions (1, F, V)."""
    kept = part.log_probs[
        :, chunk.keep_from - chunk.first_frame : chunk.keep_to - chunk.first_frame
    ]
    return Emissions(kept, np.array([kept.shape[1]], dtype=np.int64), part.frame_s)

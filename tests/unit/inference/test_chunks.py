from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import conv1d

from gaudi_asr_cli.core.inference.chunks import (
    CHUNK_S,
    LONGEST_S,
    STRIDE_S,
    ChunkGrid,
    cut_chunks,
    infer_chunks,
    keep_frames,
    plan_chunks,
)
from gaudi_asr_cli.core.models.geometry import Convolution, FrameGeometry, geometry_from_config
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ, Emissions

BASE = geometry_from_config(
    {"conv_kernel": [10, 3, 3, 3, 3, 2, 2], "conv_stride": [5, 2, 2, 2, 2, 2, 2]}
)
BERT = geometry_from_config({"model_type": "wav2vec2-bert"})
SHORT_FRAMES = geometry_from_config({"conv_kernel": [10, 3, 3], "conv_stride": [5, 4, 4]})
PAIRED = FrameGeometry(BASE.layers, minimum_frames=2)
ADAPTED = FrameGeometry((*BASE.layers, *(Convolution(3, 2, 1),) * 3))
GEOMETRIES = st.sampled_from([BASE, BERT, SHORT_FRAMES, PAIRED, ADAPTED])


@st.composite
def any_geometry(draw):
    """Up to four layers, frames of 5 to 900 ms, with and without gaps between the kernels."""
    strides = draw(st.lists(st.integers(2, 11), min_size=2, max_size=4))
    kernels = [draw(st.integers(1, 3 * stride)) for stride in strides]
    front = Convolution(kernel=draw(st.integers(40, 400)), stride=40)
    layers = (front, *(Convolution(k, s) for k, s in zip(kernels, strides, strict=True)))
    return FrameGeometry(layers, minimum_frames=draw(st.integers(1, 3)))


@given(GEOMETRIES, st.integers(0, int(LONGEST_S * SAMPLE_RATE_HZ)))
def test_audio_that_is_not_long_is_one_chunk(geometry, samples):
    (chunk,) = plan_chunks(samples, geometry)

    assert (chunk.start, chunk.end) == (0, samples)
    assert (chunk.keep_from, chunk.keep_to) == (0, geometry.count_frames(samples))


@given(GEOMETRIES | any_geometry(), st.integers(1, 4_000_000))
def test_each_frame_is_kept_exactly_once_and_each_sample_is_used(geometry, samples):
    chunks = plan_chunks(samples, geometry)

    kept = [frame for chunk in chunks for frame in range(chunk.keep_from, chunk.keep_to)]
    assert kept == list(range(geometry.count_frames(samples)))
    assert chunks[0].start == 0
    assert chunks[-1].end == samples
    assert all(after.start < before.end for before, after in pairwise(chunks))


@given(GEOMETRIES, st.integers(int(LONGEST_S * SAMPLE_RATE_HZ) + 1, 4_000_000))
def test_chunk_has_the_frames_it_keeps_and_context_around_them(geometry, samples):
    chunks = plan_chunks(samples, geometry)

    for chunk in chunks:
        frames = geometry.count_frames(chunk.end - chunk.start)
        assert chunk.start == chunk.first_frame * geometry.frame_samples
        assert chunk.keep_to - chunk.first_frame <= frames
        assert chunk.end - chunk.start <= CHUNK_S * SAMPLE_RATE_HZ
    context_s = [(chunk.keep_from - chunk.first_frame) * geometry.frame_s for chunk in chunks[1:]]
    assert context_s == pytest.approx([STRIDE_S] * len(context_s), abs=geometry.frame_s)


@given(any_geometry(), st.integers(0, 4_000_000))
def test_receptive_fields_of_kept_frames_lie_inside_their_chunk(geometry, samples):
    chunks = plan_chunks(samples, geometry)

    for before, after in pairwise(chunks):
        # The last kept frame ends its receptive field in its chunk, the first starts it there.
        field_end = (before.keep_to - 1) * geometry.frame_samples + geometry.minimum_samples
        assert field_end <= before.end
        assert (
            after.start + geometry.minimum_samples
            <= after.keep_from * geometry.frame_samples + (geometry.frame_samples)
        )


@given(st.integers(0, 4_000_000))
def test_pairwise_pooling_pairs_the_same_frames_in_chunks(samples):
    chunks = plan_chunks(samples, FrameGeometry(BASE.layers, minimum_frames=2))

    assert all(chunk.first_frame % 2 == 0 for chunk in chunks)


@given(
    GEOMETRIES | any_geometry(),
    st.lists(st.integers(0, 900_000), max_size=6),
)
def test_audio_in_blocks_is_cut_as_planned_for_the_whole(geometry, lengths):
    audio = np.arange(sum(lengths), dtype=np.float32)
    blocks = np.split(audio, np.cumsum(lengths)[:-1]) if lengths else []

    cut = list(cut_chunks(blocks, geometry))

    assert tuple(chunk for chunk, _ in cut) == plan_chunks(len(audio), geometry)
    for chunk, samples in cut:
        assert np.array_equal(samples, audio[chunk.start : chunk.end])


def test_at_most_a_block_beyond_each_chunk_is_read():
    minute = np.ones(60 * SAMPLE_RATE_HZ, dtype=np.float32)
    read = []

    def blocks():
        for number in range(180):
            read.append(number)
            yield minute

    for chunk, _ in cut_chunks(blocks(), BASE):
        assert len(read) * len(minute) <= chunk.end + len(minute)


@pytest.mark.parametrize("seconds", [30.02, 33.4, 41.7])
@pytest.mark.parametrize("geometry", [BASE, SHORT_FRAMES, ADAPTED], ids=["base", "short", "long"])
def test_convolutional_network_gives_the_same_emissions_in_chunks(seconds, geometry):
    network = Convolutions(geometry, context_frames=round(1.5 / geometry.frame_s))
    rng = np.random.default_rng(0)
    audio = rng.standard_normal(int(seconds * SAMPLE_RATE_HZ)).astype(np.float32)

    parts = list(infer_chunks(network, np.array_split(audio, 5), geometry))

    whole = network(audio)
    assert len(parts) > 1
    stitched = np.concatenate([part.log_probs for part in parts], axis=1)
    assert stitched.shape == whole.log_probs.shape
    np.testing.assert_allclose(stitched, whole.log_probs, rtol=0, atol=1e-4)
    assert all(part.frames.tolist() == [part.log_probs.shape[1]] for part in parts)


def test_too_little_context_changes_emissions_at_the_chunk_edges():
    geometry = SHORT_FRAMES
    network = Convolutions(geometry, context_frames=round(2 * STRIDE_S / geometry.frame_s))
    rng = np.random.default_rng(0)
    audio = rng.standard_normal(35 * SAMPLE_RATE_HZ).astype(np.float32)

    parts = list(infer_chunks(network, [audio], geometry))

    stitched = np.concatenate([part.log_probs for part in parts], axis=1)
    assert not np.allclose(stitched, network(audio).log_probs, rtol=0, atol=1e-4)


def test_last_chunk_is_cut_to_the_frames_of_the_audio():
    grid = ChunkGrid.for_geometry(BASE)

    assert grid.last(2, 700_000).keep_to == BASE.count_frames(700_000)
    assert grid.inner(0).start == 0


class Convolutions:
    """A random network: the geometry's convolutions, and one over `context_frames` on each side."""

    def __init__(self, geometry, *, context_frames):
        generator = torch.Generator().manual_seed(0)
        self.geometry = geometry
        self.context_frames = context_frames
        self.kernels = [
            torch.randn(1, 1, layer.kernel, generator=generator) / layer.kernel**0.5
            for layer in geometry.layers
        ]
        kernel_frames = 2 * context_frames + 1
        self.context = torch.randn(1, 1, kernel_frames, generator=generator) / kernel_frames**0.5

    def __call__(self, samples):
        values = torch.from_numpy(np.ascontiguousarray(samples))[None, None]
        for layer, kernel in zip(self.geometry.layers, self.kernels, strict=True):
            values = conv1d(values, kernel, stride=layer.stride, padding=layer.padding)
        values = conv1d(values, self.context, padding=self.context_frames)
        frames = self.geometry.count_frames(len(samples))
        assert values.shape[2] == frames
        return Emissions(
            values.numpy().reshape(1, frames, 1), np.array([frames]), self.geometry.frame_s
        )


@pytest.mark.parametrize("seconds", [30.5, 34, 47.3, 100])
def test_stitched_frames_are_those_of_the_whole_audio(seconds):
    samples = int(seconds * SAMPLE_RATE_HZ)
    chunks = plan_chunks(samples, BASE)

    kept = [keep_frames(chunk, emit_frame_numbers(chunk)) for chunk in chunks]

    frames = np.concatenate([part.log_probs[0, :, 0] for part in kept])
    assert frames.tolist() == list(range(BASE.count_frames(samples)))
    assert [part.frames.tolist() for part in kept] == [[part.log_probs.shape[1]] for part in kept]


def emit_frame_numbers(chunk):
    """Return emissions whose only column is the frame number in the whole audio."""
    frames = BASE.count_frames(chunk.end - chunk.start)
    numbers = chunk.start // BASE.frame_samples + np.arange(frames, dtype=np.float32)
    return Emissions(numbers[None, :, None], np.array([frames]), BASE.frame_s)

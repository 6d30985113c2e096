from types import MappingProxyType

import pytest
import torch
from helpers.tiny_models import FAMILIES, NEW_FAMILIES, build_tiny_network
from hypothesis import given
from hypothesis import strategies as st

from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.models.geometry import FrameGeometry, geometry_from_config

BASE = MappingProxyType(
    {
        "model_type": "wav2vec2",
        "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
        "conv_stride": [5, 2, 2, 2, 2, 2, 2],
    }
)
RAW_FAMILIES = [
    name for name in FAMILIES if not name.startswith("wav2vec2-bert") and name not in NEW_FAMILIES
]


def test_wav2vec2_base_has_49_frames_a_second_with_a_stride_of_20_ms():
    geometry = geometry_from_config(BASE)

    assert geometry.count_frames(16_000) == 49
    assert geometry.frame_s == 0.02
    assert geometry.minimum_samples == 400


@pytest.mark.parametrize("family", RAW_FAMILIES)
def test_the_frame_count_matches_the_output_of_the_network(family):
    network = build_tiny_network(family)
    geometry = geometry_from_config(network.config.to_dict())
    shortest = geometry.minimum_samples
    lengths = [*range(shortest, shortest + 170, 13), 1599, 1600, 1601, 3999, 4000, 7777]

    with torch.inference_mode():
        counted = {n: network(torch.ones(1, n)).logits.shape[1] for n in lengths}

    assert counted == {n: geometry.count_frames(n) for n in lengths}


@pytest.mark.parametrize("family", RAW_FAMILIES)
def test_a_clip_shorter_than_the_minimum_is_an_error_in_the_network(family):
    network = build_tiny_network(family)
    shortest = geometry_from_config(network.config.to_dict()).minimum_samples

    with torch.inference_mode(), pytest.raises(RuntimeError):
        network(torch.ones(1, shortest - 1))


@given(st.integers(0, 40_000))
def test_a_clip_that_is_too_short_has_the_frames_of_the_shortest_one(samples):
    geometry = geometry_from_config(BASE)

    assert geometry.count_frames(samples) >= 1
    assert geometry.count_frames(samples) == geometry.count_frames(max(samples, 400))


@given(st.integers(400, 40_000), st.integers(0, 500))
def test_a_clip_shorter_by_whole_frames_has_that_many_frames_less(samples, frames):
    """Stitching of chunks relies on this."""
    geometry = geometry_from_config(BASE)
    longer = samples + frames * geometry.frame_samples

    assert geometry.count_frames(longer) == geometry.count_frames(samples) + frames


def test_a_configuration_without_convolutions_is_rejected():
    with pytest.raises(DataError, match="conv_kernel"):
        geometry_from_config({"model_type": "whisper"})


def test_without_layers_every_sample_is_a_frame():
    assert FrameGeometry(()).count_frames(7) == 7

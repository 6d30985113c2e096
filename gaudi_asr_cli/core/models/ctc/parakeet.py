"""Parakeet CTC: a FastConformer whose subsampling convolutions follow a mel spectrogram."""

from __future__ import annotations

from math import log2
from typing import Any

from gaudi_asr_cli.core.models.families import ModelConfig, ModelFamily
from gaudi_asr_cli.core.models.geometry import Convolution, FrameGeometry
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ

_MEL_FRAME = Convolution(kernel=160, stride=160)
"""Windows are centred, so that every whole hop of 10 ms has a frame."""
DEVIATION_FRAMES = 2
"""Features are divided by their standard deviation, which one frame does not have."""


def _read_geometry(config: ModelConfig) -> FrameGeometry:
    """Return the layers that downsample time."""
    encoder = config.get("encoder_config") or {}
    kernel = int(encoder.get("subsampling_conv_kernel_size", 3))
    stride = int(encoder.get("subsampling_conv_stride", 2))
    halvings = int(log2(encoder.get("subsampling_factor", 8)))
    layer = Convolution(kernel, stride, padding=(kernel - 1) // 2)
    return FrameGeometry((_MEL_FRAME, *(layer,) * halvings), minimum_frames=DEVIATION_FRAMES)


def _mel_settings(config: ModelConfig) -> dict[str, Any]:
    """Return the settings of its extractor."""
    encoder = config.get("encoder_config") or {}
    return {
        "feature_extractor_type": "ParakeetFeatureExtractor",
        "feature_size": int(encoder.get("num_mel_bins", 80)),
        "hop_length": _MEL_FRAME.stride,
        "n_fft": 512,
        "padding_side": "right",
        "padding_value": 0.0,
        "preemphasis": 0.97,
        "sampling_rate": SAMPLE_RATE_HZ,
        "win_length": 400,
    }


PARAKEET = ModelFamily(
    "ctc",
    _read_geometry,
    head="ctc_head",
    extractor="ParakeetFeatureExtractor",
    settings=_mel_settings,
    processor="ParakeetProcessor",
    isolates_padding=True,
    since=5,
)

"""LASR CTC (MedASR): a conformer whose two subsampling convolutions follow a mel spectrogram."""

from __future__ import annotations

from typing import Any

from gaudi_asr_cli.core.models.families import ModelConfig, ModelFamily
from gaudi_asr_cli.core.models.geometry import Convolution, FrameGeometry
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ

_MEL_WINDOW = Convolution(kernel=400, stride=160)
"""25 ms with a hop of 10 ms."""
_HALVINGS = 2


def _read_geometry(config: ModelConfig) -> FrameGeometry:
    """Return the layers that downsample time."""
    encoder = config.get("encoder_config") or {}
    layer = Convolution(
        int(encoder.get("subsampling_conv_kernel_size", 5)),
        int(encoder.get("subsampling_conv_stride", 2)),
    )
    return FrameGeometry((_MEL_WINDOW, *(layer,) * _HALVINGS))


def _mel_settings(config: ModelConfig) -> dict[str, Any]:
    """Return the settings of its extractor."""
    encoder = config.get("encoder_config") or {}
    return {
        "feature_extractor_type": "LasrFeatureExtractor",
        "feature_size": int(encoder.get("num_mel_bins", 128)),
        "hop_length": _MEL_WINDOW.stride,
        "n_fft": 512,
        "padding_side": "right",
        "padding_value": 0.0,
        "sampling_rate": SAMPLE_RATE_HZ,
        "win_length": _MEL_WINDOW.kernel,
    }


LASR = ModelFamily(
    "ctc",
    _read_geometry,
    head="ctc_head",
    extractor="LasrFeatureExtractor",
    settings=_mel_settings,
    processor="LasrProcessor",
    isolates_padding=True,
    since=5,
)

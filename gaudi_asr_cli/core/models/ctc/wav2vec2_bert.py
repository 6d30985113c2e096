"""wav2vec2-BERT: pairs of mel frames and no convolutions before the encoder."""

from __future__ import annotations

from typing import Any

from gaudi_asr_cli.core.models.families import ModelConfig, ModelFamily
from gaudi_asr_cli.core.models.geometry import Convolution, FrameGeometry, adapter_layers
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ

_MEL_WINDOW = Convolution(kernel=400, stride=160)
"""25 ms with a hop of 10 ms."""
_MEL_STACK = Convolution(kernel=2, stride=2)


def _read_geometry(config: ModelConfig) -> FrameGeometry:
    """Return the layers that downsample time."""
    return FrameGeometry((_MEL_WINDOW, _MEL_STACK, *adapter_layers(config)))


def _mel_settings(_: ModelConfig) -> dict[str, Any]:
    """Return the settings of its extractor."""
    return {
        "feature_extractor_type": "SeamlessM4TFeatureExtractor",
        "feature_size": 80,
        "num_mel_bins": 80,
        "padding_side": "right",
        "padding_value": 0.0,
        "sampling_rate": SAMPLE_RATE_HZ,
        "stride": 2,
    }


WAV2VEC2_BERT = ModelFamily(
    "ctc",
    _read_geometry,
    extractor="SeamlessM4TFeatureExtractor",
    settings=_mel_settings,
    processor="Wav2Vec2BertProcessor",
    isolates_padding=True,
)

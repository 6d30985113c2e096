"""The encoder-decoder families."""

from __future__ import annotations

from gaudi_asr_cli.core.models.families import ModelConfig, ModelFamily
from gaudi_asr_cli.core.models.geometry import Convolution, FrameGeometry

MOONSHINE_LAYERS = (Convolution(127, 64), Convolution(7, 3), Convolution(3, 2))
_MEL_WINDOW = Convolution(kernel=400, stride=160)


def moonshine_geometry(_: ModelConfig) -> FrameGeometry:
    """Return Moonshine's three convolutions over samples."""
    return FrameGeometry(MOONSHINE_LAYERS)


def speech_to_text_geometry(_: ModelConfig) -> FrameGeometry:
    """Return the mel frames of Speech2Text, one of which is enough."""
    return FrameGeometry((_MEL_WINDOW,))


WHISPER = ModelFamily("seq2seq", None, processor="WhisperProcessor")
MOONSHINE = ModelFamily("seq2seq", moonshine_geometry)
SPEECH_TO_TEXT = ModelFamily(
    "seq2seq",
    speech_to_text_geometry,
    extractor="Speech2TextFeatureExtractor",
    processor="Speech2TextProcessor",
)
# Its encoder is a model of another family.
SPEECH_ENCODER_DECODER = ModelFamily("seq2seq", None)

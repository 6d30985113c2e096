"""Models with random weights in the shape of known ones, to measure speed without a download."""

from __future__ import annotations

from typing import Any

from gaudi_asr_cli.core.devices.base import Device
from gaudi_asr_cli.core.inference.ctc import prepare_inference
from gaudi_asr_cli.core.inference.options import InferenceOptions
from gaudi_asr_cli.core.inference.recognizer import Recognizer
from gaudi_asr_cli.core.models.ctc.scratch import build_from_scratch
from gaudi_asr_cli.core.records import Vocabulary
from gaudi_asr_cli.core.text.vocabulary import build_vocabulary

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ'"
SHAPES: dict[str, dict[str, Any]] = {
    # The defaults of Wav2Vec2Config are facebook/wav2vec2-base's.
    "wav2vec2-base": {},
    "wav2vec2-large-lv60": {
        "hidden_size": 1024,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "intermediate_size": 4096,
        "conv_bias": True,
        "feat_extract_norm": "layer",
        "do_stable_layer_norm": True,
    },
}
"""Name of the shape -> fields of `Wav2Vec2Config`."""


def random_vocabulary() -> Vocabulary:
    """Return a vocabulary with the letters of facebook/wav2vec2-base-960h."""
    return build_vocabulary(dict.fromkeys(LETTERS, 1))


def open_random_model(
    architecture: dict[str, Any], device: Device, options: InferenceOptions, *, seed: int
) -> Recognizer:
    """Build a random `Wav2Vec2ForCTC` and open it for inference as a model from a file.

    Args:
        architecture: Fields of `Wav2Vec2Config`, such as one of `SHAPES`.
        device: Device to place it on.
        options: Options of inference.
        seed: Random seed of the weights.
    """
    dtype = device.choose_dtype(options.network_dtype)
    model = build_from_scratch(architecture, random_vocabulary(), seed, device=device, dtype=dtype)
    # Built for training, it would apply layer drop.
    model.network.eval().requires_grad_(False)
    return prepare_inference(model, options)

"""Models with random weights in the shape of known ones: for speed, where none can be fetched."""

from __future__ import annotations

from typing import Any

from gaudi_asr_cli.core.devices.base import Device, torch_dtype
from gaudi_asr_cli.core.models.ctc import CtcModel
from gaudi_asr_cli.core.models.scratch import build_from_scratch
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
    """The letters of facebook/wav2vec2-base-960h."""
    return build_vocabulary(dict.fromkeys(LETTERS, 1))


def open_random_model(shape: str, *, device: Device, dtype: str, seed: int) -> CtcModel:
    """A network of one of `SHAPES` that hears nothing in particular, ready to be timed."""
    return open_random_network(SHAPES[shape], device=device, dtype=dtype, seed=seed)


def open_random_network(
    architecture: dict[str, Any], *, device: Device, dtype: str, seed: int
) -> CtcModel:
    """A random `Wav2Vec2ForCTC` with weights in `dtype` on the device, without gradients."""
    chosen = device.choose_dtype(dtype)
    model = build_from_scratch(architecture, random_vocabulary(), seed, device=device, dtype=chosen)
    model.network.to(torch_dtype(chosen)).eval().requires_grad_(False)
    return model

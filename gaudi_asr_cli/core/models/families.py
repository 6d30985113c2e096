"""What differs between the families of CTC models, in one place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PADDABLE = frozenset({"wav2vec2", "hubert", "wavlm", "unispeech", "unispeech-sat", "wav2vec2-bert"})
"""Families whose masks keep padding away from the sound.

Not data2vec-audio (five positional convolutions, only the first of which sees clean padding), not
wav2vec2-conformer (convolutions inside the blocks without a mask), not SEW (pools frames in pairs).
"""

PROCESSORS = {
    "wav2vec2-bert": "Wav2Vec2BertProcessor",
    "whisper": "WhisperProcessor",
    "speech_to_text": "Speech2TextProcessor",
}
"""transformers' processors of families that do not have wav2vec 2.0's."""

EAGER_ONLY = frozenset({"wavlm"})
"""Families whose attention transformers 5 writes out only in the eager way."""


def is_padding_invariant(config: Mapping[str, Any]) -> bool:
    """Whether a masked batch gives every utterance the emissions that it gets alone.

    A group norm over time runs over the padding as well, a batch norm shifts its zeros, and an
    adapter's convolutions reach over the end: such models hear something else in a batch.
    """
    if config.get("model_type") not in PADDABLE or config.get("add_adapter"):
        return False
    if config.get("model_type") == "wav2vec2-bert":
        return True
    return config.get("feat_extract_norm") == "layer" and not config.get("conv_pos_batch_norm")


def attention_arguments(config: Mapping[str, Any]) -> dict[str, str]:
    """Keyword arguments of `from_pretrained` that choose the attention code."""
    if config.get("model_type") in EAGER_ONLY:
        return {"attn_implementation": "eager"}
    return {}


def processor_class(config: Mapping[str, Any]) -> str:
    """Name of transformers' processor for a model of this family."""
    return PROCESSORS.get(str(config.get("model_type")), "Wav2Vec2Processor")


def correct_config(model_type: str | None) -> None:
    """Put right what transformers 4.55 has wrong of a family, before it is opened.

    It calls SEW-D's body `sew-d`, which is no attribute's name: a pretrained checkpoint would be
    opened with random weights, and freezing the body would freeze the head as well.
    """
    if model_type != "sew-d":
        return
    from transformers import SEWDPreTrainedModel

    if SEWDPreTrainedModel.base_model_prefix == "sew-d":
        SEWDPreTrainedModel.base_model_prefix = "sew_d"

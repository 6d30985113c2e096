"""Differences between model families: padding, processors, attention code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PADDABLE = frozenset({"wav2vec2", "hubert", "wavlm", "unispeech", "unispeech-sat", "wav2vec2-bert"})
"""Families whose attention masks isolate the audio from padding.

Not data2vec-audio (five positional convolutions, only the first of which gets zeros as padding),
not wav2vec2-conformer (unmasked convolutions inside the blocks), not SEW (pools frames in pairs).
"""

PROCESSORS = {
    "wav2vec2-bert": "Wav2Vec2BertProcessor",
    "whisper": "WhisperProcessor",
    "speech_to_text": "Speech2TextProcessor",
}
"""Processor classes of families that do not use wav2vec 2.0's."""

EAGER_ONLY = frozenset({"wavlm"})
"""Families for which transformers 5 implements eager attention only."""


def is_padding_invariant(config: Mapping[str, Any]) -> bool:
    """Return whether an utterance gets the same emissions in a masked batch as unbatched.

    Not so with a group norm over time, which includes the padding; a batch norm, which shifts its
    zeros; or an adapter, whose convolutions reach past the end.
    """
    if config.get("model_type") not in PADDABLE or config.get("add_adapter"):
        return False
    if config.get("model_type") == "wav2vec2-bert":
        return True
    return config.get("feat_extract_norm") == "layer" and not config.get("conv_pos_batch_norm")


def attention_arguments(config: Mapping[str, Any]) -> dict[str, str]:
    """Return keyword arguments of `from_pretrained` that select the attention code."""
    if config.get("model_type") in EAGER_ONLY:
        return {"attn_implementation": "eager"}
    return {}


def processor_class(config: Mapping[str, Any]) -> str:
    """Return the name of transformers' processor for a model of this family."""
    return PROCESSORS.get(str(config.get("model_type")), "Wav2Vec2Processor")


def correct_config(model_type: str | None) -> None:
    """Work around errors of transformers 4.55 in a family, before a model of it is opened.

    Its base model prefix of SEW-D is `sew-d`, which is not an attribute name: a pretrained
    checkpoint would load with random weights, and freezing the body would freeze the head as well.
    """
    if model_type != "sew-d":
        return
    from transformers import SEWDPreTrainedModel

    if SEWDPreTrainedModel.base_model_prefix == "sew-d":
        SEWDPreTrainedModel.base_model_prefix = "sew_d"

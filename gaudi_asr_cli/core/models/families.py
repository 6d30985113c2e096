"""The architectures that gaudi-asr supports: what differs between model families, one record each.

A family is a file with its record and a line in `FAMILIES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ
from gaudi_asr_cli.core.registry import Registry

if TYPE_CHECKING:
    from gaudi_asr_cli.core.models.frames import FrameGeometry

ModelConfig = Mapping[str, Any]
"""The content of a config.json."""
_HEAD, _PROCESSOR = "lm_head", "Wav2Vec2Processor"
"""Names of the CTC head and the processor of wav2vec 2.0."""


def raw_settings(config: ModelConfig) -> dict[str, Any]:
    """Return the settings of an extractor that only normalises samples."""
    return {
        "feature_extractor_type": "Wav2Vec2FeatureExtractor",
        "do_normalize": True,
        "feature_size": 1,
        "padding_side": "right",
        "padding_value": 0.0,
        # Only layer-norm encoders were trained with attention masks.
        "return_attention_mask": config.get("feat_extract_norm", "layer") == "layer",
        "sampling_rate": SAMPLE_RATE_HZ,
    }


@dataclass(frozen=True, slots=True)
class ModelFamily:
    """What a model family needs.

    Args:
        kind: `ctc` or `seq2seq`.
        geometry: Returns the layers that downsample time; None if the network has fixed windows.
        head: Name of the CTC head in the network.
        tied_head: Name of a projection inside of the encoder that has the weights of the head,
            and is stored in its place.
        extractor: transformers' class that computes mel features; None: samples are normalised.
        open_features: Builds our own extraction from the settings, if that class needs a package
            that is not required.
        settings: Returns the settings of the feature extraction of a folder that has none.
        processor: transformers' class that joins features and tokenizer.
        isolates_padding: Attention masks isolate the audio from padding.
        eager_only: transformers 5 implements eager attention only.
        packed_body: Name of the body in the weights, if the CPU engine implements its layers.
        since: Major version of transformers that has it.
    """

    kind: str
    geometry: Callable[[ModelConfig], FrameGeometry] | None
    head: str = _HEAD
    tied_head: str | None = None
    extractor: str | None = None
    open_features: Callable[[Mapping[str, Any]], Any] | None = None
    settings: Callable[[ModelConfig], dict[str, Any]] = raw_settings
    processor: str = _PROCESSOR
    isolates_padding: bool = False
    eager_only: bool = False
    packed_body: str | None = None
    since: int = 4


_CTC = "gaudi_asr_cli.core.models.ctc"
_SEQ2SEQ = "gaudi_asr_cli.core.models.seq2seq"
FAMILIES: Registry[ModelFamily] = Registry(
    "architecture",
    {
        "data2vec-audio": f"{_CTC}.wav2vec2:DATA2VEC_AUDIO",
        "granite_speech5_ctc": f"{_CTC}.granite:GRANITE",
        "hubert": f"{_CTC}.wav2vec2:HUBERT",
        "lasr_ctc": f"{_CTC}.lasr:LASR",
        "parakeet_ctc": f"{_CTC}.parakeet:PARAKEET",
        "sew": f"{_CTC}.wav2vec2:SEW",
        "sew-d": f"{_CTC}.wav2vec2:SEW",
        "unispeech": f"{_CTC}.wav2vec2:UNISPEECH",
        "unispeech-sat": f"{_CTC}.wav2vec2:UNISPEECH_SAT",
        "wav2vec2": f"{_CTC}.wav2vec2:WAV2VEC2",
        "wav2vec2-bert": f"{_CTC}.wav2vec2_bert:WAV2VEC2_BERT",
        "wav2vec2-conformer": f"{_CTC}.wav2vec2:WAV2VEC2_CONFORMER",
        "wavlm": f"{_CTC}.wav2vec2:WAVLM",
        "moonshine": f"{_SEQ2SEQ}.families:MOONSHINE",
        "speech-encoder-decoder": f"{_SEQ2SEQ}.families:SPEECH_ENCODER_DECODER",
        "speech_to_text": f"{_SEQ2SEQ}.families:SPEECH_TO_TEXT",
        "whisper": f"{_SEQ2SEQ}.families:WHISPER",
    },
)
"""Families by the `model_type` of their config.json."""


def family_of(config: ModelConfig) -> ModelFamily | None:
    """Return the family of a configuration, or None if it is not supported."""
    model_type = config.get("model_type")
    return FAMILIES[model_type] if isinstance(model_type, str) and model_type in FAMILIES else None


def list_architectures() -> str:
    """Return the supported architectures, by kind, for a message."""
    titles = {"ctc": "CTC", "seq2seq": "encoder-decoder"}
    lists = {
        title: ", ".join(name for name, family in FAMILIES.items() if family.kind == kind)
        for kind, title in titles.items()
    }
    return "; ".join(f"{title}: {names}" for title, names in lists.items())


def head_of(config: ModelConfig) -> str:
    """Return the name of the CTC head in networks of this configuration."""
    family = family_of(config)
    return _HEAD if family is None else family.head


def stored_head_of(config: ModelConfig) -> str:
    """Return the name under which the weights of the CTC head are stored."""
    family = family_of(config)
    return head_of(config) if family is None or family.tied_head is None else family.tied_head


def has_tied_head(config: ModelConfig) -> bool:
    """Return whether the head shares its weights with the encoder, so that its size is fixed."""
    return stored_head_of(config) != head_of(config)


def isolates_padding(config: ModelConfig) -> bool:
    """Return whether attention masks isolate the audio from padding in the family's encoders."""
    family = family_of(config)
    return family is not None and family.isolates_padding


def is_padding_invariant(config: ModelConfig) -> bool:
    """Return whether an utterance gets the same emissions in a masked batch as unbatched.

    Not so with a group norm over time, which includes the padding; a batch norm, which shifts its
    zeros; or an adapter, whose convolutions reach past the end.
    """
    if not isolates_padding(config) or config.get("add_adapter"):
        return False
    # Families without such a norm have no such field.
    layer_norm = config.get("feat_extract_norm", "layer") == "layer"
    return layer_norm and not config.get("conv_pos_batch_norm")


def attention_arguments(config: ModelConfig) -> dict[str, str]:
    """Return keyword arguments of `from_pretrained` that select the attention code."""
    family = family_of(config)
    return {"attn_implementation": "eager"} if family is not None and family.eager_only else {}


def processor_class(config: ModelConfig) -> str:
    """Return the name of transformers' processor for a model of this family."""
    family = family_of(config)
    return _PROCESSOR if family is None else family.processor


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

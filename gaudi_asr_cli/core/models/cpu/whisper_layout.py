"""The layers of a Whisper, as its config.json describes them. See `ctc_layout`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gaudi_asr_cli.core.models.cpu.ctc_layout import (
    is_size,
    linear_shapes,
    norm_shapes,
    prefix_names,
)
from gaudi_asr_cli.core.models.weights import Shapes

_SIZES = (
    "d_model",
    "decoder_attention_heads",
    "decoder_ffn_dim",
    "decoder_layers",
    "encoder_attention_heads",
    "encoder_ffn_dim",
    "encoder_layers",
    "max_source_positions",
    "max_target_positions",
    "num_mel_bins",
    "vocab_size",
)
"""Fields that must be positive integers."""
_USED_FIELDS = frozenset(
    {"model_type", "activation_function", "scale_embedding", "tie_word_embeddings", *_SIZES}
)
_UNUSED_FIELDS = frozenset(
    [
        "_name_or_path",
        "activation_dropout",
        "apply_spec_augment",
        "architectures",
        "attention_dropout",
        "begin_suppress_tokens",
        "bos_token_id",
        "chunk_size_feed_forward",
        "classifier_proj_size",
        "decoder_layerdrop",
        "decoder_start_token_id",
        "dropout",
        "dtype",
        "encoder_layerdrop",
        "eos_token_id",
        "forced_decoder_ids",
        "id2label",
        "init_std",
        "is_encoder_decoder",
        "label2id",
        "mask_feature_length",
        "mask_feature_min_masks",
        "mask_feature_prob",
        "mask_time_length",
        "mask_time_min_masks",
        "mask_time_prob",
        "max_length",
        "median_filter_width",
        "num_hidden_layers",
        "output_attentions",
        "output_hidden_states",
        "pad_token_id",
        "problem_type",
        "return_dict",
        "suppress_tokens",
        "torch_dtype",
        "transformers_version",
        "use_cache",
        "use_weighted_layer_sum",
    ]
)
"""Fields that change training, `generation_config.json` or nothing, but not the network."""


@dataclass(frozen=True, slots=True)
class WhisperLayout:
    """The layers of a Whisper; `width` is its `d_model`."""

    width: int
    encoder_layers: int
    encoder_heads: int
    encoder_inner: int
    decoder_layers: int
    decoder_heads: int
    decoder_inner: int
    mel_bins: int
    frames: int
    context_length: int
    columns: int

    def shapes(self) -> Shapes:
        """Return the shape of each weight; the head has those of the token embeddings."""
        encoder = {
            "conv1.weight": (self.width, self.mel_bins, 3),
            "conv1.bias": (self.width,),
            "conv2.weight": (self.width, self.width, 3),
            "conv2.bias": (self.width,),
            "embed_positions.weight": (self.frames, self.width),
            **norm_shapes("layer_norm", self.width),
        }
        layer = self._layer_shapes(("self_attn",), self.encoder_inner)
        for index in range(self.encoder_layers):
            encoder |= prefix_names(f"layers.{index}", layer)
        decoder = {
            "embed_tokens.weight": (self.columns, self.width),
            "embed_positions.weight": (self.context_length, self.width),
            **norm_shapes("layer_norm", self.width),
        }
        layer = self._layer_shapes(("self_attn", "encoder_attn"), self.decoder_inner)
        for index in range(self.decoder_layers):
            decoder |= prefix_names(f"layers.{index}", layer)
        return prefix_names("model.encoder", encoder) | prefix_names("model.decoder", decoder)

    def _layer_shapes(self, attentions: tuple[str, ...], inner: int) -> dict[str, tuple[int, ...]]:
        shapes = norm_shapes("final_layer_norm", self.width)
        shapes |= linear_shapes("fc1", self.width, inner) | linear_shapes("fc2", inner, self.width)
        for name in attentions:
            shapes |= norm_shapes(f"{name}_layer_norm", self.width)
            for projection in ("q_proj", "v_proj", "out_proj"):
                shapes |= linear_shapes(f"{name}.{projection}", self.width, self.width)
            shapes[f"{name}.k_proj.weight"] = (self.width, self.width)
        return shapes


def read_whisper_layout(config: Mapping[str, Any]) -> WhisperLayout | None:
    """Return the layers of a configuration, or None if this package does not implement them."""
    plain = config.get("activation_function") == "gelu" and not config.get("scale_embedding")
    if config.get("model_type") != "whisper" or not plain:
        return None
    if not all(is_size(config.get(name)) for name in _SIZES):
        return None
    width, heads = config["d_model"], ("encoder_attention_heads", "decoder_attention_heads")
    if any(width % config[name] for name in heads):
        return None
    return WhisperLayout(
        width=width,
        encoder_layers=config["encoder_layers"],
        encoder_heads=config["encoder_attention_heads"],
        encoder_inner=config["encoder_ffn_dim"],
        decoder_layers=config["decoder_layers"],
        decoder_heads=config["decoder_attention_heads"],
        decoder_inner=config["decoder_ffn_dim"],
        mel_bins=config["num_mel_bins"],
        frames=config["max_source_positions"],
        context_length=config["max_target_positions"],
        columns=config["vocab_size"],
    )


def has_known_whisper_fields(config: Mapping[str, Any]) -> bool:
    """Return whether every field of a config.json is known to be used here or to be unused."""
    tied = config.get("tie_word_embeddings", True) is True
    return tied and all(name in _USED_FIELDS or name in _UNUSED_FIELDS for name in config)

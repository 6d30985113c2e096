"""The layers of a wav2vec 2.0-like network, as its config.json describes them.

What is not known here is left to transformers: a family, an activation, a field that a newer
version of transformers may have added.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gaudi_asr_cli.core.models.families import family_of
from gaudi_asr_cli.core.models.geometry import Convolution
from gaudi_asr_cli.core.models.weights import NetworkWeights, Shapes

_ADAPTED_FAMILIES = frozenset({"wav2vec2", "hubert", "unispeech", "unispeech-sat"})
"""Families that may have an adapter for a language in each layer (MMS)."""

_SIZES = (
    "hidden_size",
    "intermediate_size",
    "num_attention_heads",
    "num_conv_pos_embedding_groups",
    "num_conv_pos_embeddings",
    "num_hidden_layers",
    "vocab_size",
)
"""Fields that must be positive integers."""
_SIZE_LISTS = ("conv_dim", "conv_kernel", "conv_stride")
"""Fields that must be lists of positive integers, one for each convolution."""
_ACTIVATIONS = ("hidden_act", "feat_extract_activation")
"""Fields that must be GELU."""
_PLAIN = {"add_adapter": (False, None), "conv_pos_batch_norm": (False, None)}
"""Fields that a configuration may lack, and their values without further layers."""
_OPTIONAL = ("adapter_attn_dim", "feat_proj_layer_norm")
_FAMILY_FIELDS = {
    "data2vec-audio": ("conv_pos_kernel_size",),
    "wavlm": ("num_buckets", "max_bucket_distance"),
}
"""Further positive integers of a family."""
_STABLE_NORM = ("do_stable_layer_norm", "feat_extract_norm", "conv_bias")
_USED_FIELDS = frozenset(
    {"model_type", "layer_norm_eps", *_SIZES, *_SIZE_LISTS, *_ACTIVATIONS, *_PLAIN, *_OPTIONAL}
    | {*_STABLE_NORM, *(name for names in _FAMILY_FIELDS.values() for name in names)}
)
_UNUSED_FIELDS = frozenset(
    [
        "_name_or_path",
        "activation_dropout",
        "adapter_kernel_size",
        "adapter_stride",
        "apply_spec_augment",
        "architectures",
        "attention_dropout",
        "bos_token_id",
        "chunk_size_feed_forward",
        "classifier_proj_size",
        "codevector_dim",
        "contrastive_logits_temperature",
        "ctc_loss_reduction",
        "ctc_zero_infinity",
        "diversity_loss_weight",
        "do_sample",
        "dtype",
        "eos_token_id",
        "feat_extract_dropout",
        "feat_proj_dropout",
        "feat_quantizer_dropout",
        "final_dropout",
        "freeze_feat_extract_train",
        "gradient_checkpointing",
        "hidden_dropout",
        "hidden_dropout_prob",
        "id2label",
        "initializer_range",
        "is_encoder_decoder",
        "label2id",
        "layerdrop",
        "mask_channel_length",
        "mask_channel_min_space",
        "mask_channel_other",
        "mask_channel_prob",
        "mask_channel_selection",
        "mask_feature_length",
        "mask_feature_min_masks",
        "mask_feature_prob",
        "mask_time_length",
        "mask_time_min_masks",
        "mask_time_min_space",
        "mask_time_other",
        "mask_time_prob",
        "mask_time_selection",
        "no_mask_channel_overlap",
        "no_mask_time_overlap",
        "num_adapter_layers",
        "num_clusters",
        "num_codevector_groups",
        "num_codevectors_per_group",
        "num_ctc_classes",
        "num_feat_extract_layers",
        "num_negatives",
        "output_attentions",
        "output_hidden_size",
        "output_hidden_states",
        "pad_token_id",
        "problem_type",
        "proj_codevector_dim",
        "replace_prob",
        "return_dict",
        "target_lang",
        "tdnn_dilation",
        "tdnn_dim",
        "tdnn_kernel",
        "tokenizer_class",
        "torch_dtype",
        "transformers_version",
        "use_cache",
        "use_weighted_layer_sum",
        "xvector_output_dim",
    ]
)
"""Fields that change training, other heads or nothing, but not the emissions of a CTC model."""


WEIGHT_NORMS = (
    ("parametrizations.weight.original0", "parametrizations.weight.original1"),
    ("weight_g", "weight_v"),
)
"""Names of length and direction of a normalised weight: of torch's parametrizations, and older."""


@dataclass(frozen=True, slots=True)
class Positions:
    """The convolutional position embeddings: `stacked` layers with a norm each (data2vec), or one.

    One has a normalised weight instead, in two parts.
    """

    kernel: int
    groups: int
    stacked: int | None


@dataclass(frozen=True, slots=True)
class CtcLayout:
    """The layers of a network. Convolution i has `channels[i]` outputs.

    `group_norm`: the first convolution has a norm over time, the others none; otherwise each has a
    layer norm. `pre_norm` is transformers' `do_stable_layer_norm`. `adapter` is the width of the
    language adapter of each layer, `buckets` and `longest` are those of WavLM's relative positions.
    """

    body: str
    convolutions: tuple[Convolution, ...]
    channels: tuple[int, ...]
    conv_bias: bool
    group_norm: bool
    projection_norm: bool
    positions: Positions
    width: int
    inner_width: int
    heads: int
    layers: int
    pre_norm: bool
    eps: float
    adapter: int | None
    buckets: int | None
    longest: int
    columns: int

    def shapes(self, weight_norm: tuple[str, str]) -> dict[str, tuple[int, ...]]:
        """Return the shape of each weight; `weight_norm` names the parts of a normalised one."""
        body = {
            **prefix_names("feature_extractor", self._convolution_shapes()),
            **prefix_names("feature_projection", self._projection_shapes()),
            **prefix_names("encoder.pos_conv_embed", self._position_shapes(weight_norm)),
            **norm_shapes("encoder.layer_norm", self.width),
        }
        for index in range(self.layers):
            body |= prefix_names(f"encoder.layers.{index}", self._layer_shapes(index))
        return prefix_names(self.body, body) | linear_shapes("lm_head", self.width, self.columns)

    def _convolution_shapes(self) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {}
        inputs = 1
        for index, (convolution, outputs) in enumerate(
            zip(self.convolutions, self.channels, strict=True)
        ):
            name = f"conv_layers.{index}"
            shapes[f"{name}.conv.weight"] = (outputs, inputs, convolution.kernel)
            if self.conv_bias:
                shapes[f"{name}.conv.bias"] = (outputs,)
            if index == 0 or not self.group_norm:
                shapes |= norm_shapes(f"{name}.layer_norm", outputs)
            inputs = outputs
        return shapes

    def _projection_shapes(self) -> dict[str, tuple[int, ...]]:
        norm = norm_shapes("layer_norm", self.channels[-1]) if self.projection_norm else {}
        return norm | linear_shapes("projection", self.channels[-1], self.width)

    def _position_shapes(self, weight_norm: tuple[str, str]) -> dict[str, tuple[int, ...]]:
        kernel = self.positions.kernel
        weight = (self.width, self.width // self.positions.groups, kernel)
        if self.positions.stacked is None:
            gain, direction = weight_norm
            names = {gain: (1, 1, kernel), direction: weight, "bias": (self.width,)}
            return prefix_names("conv", names)
        one = {"conv.weight": weight, "conv.bias": (self.width,)}
        stack = [prefix_names(f"layers.{index}", one) for index in range(self.positions.stacked)]
        return {name: shape for layer in stack for name, shape in layer.items()}

    def _layer_shapes(self, index: int) -> dict[str, tuple[int, ...]]:
        shapes = norm_shapes("layer_norm", self.width)
        shapes |= norm_shapes("final_layer_norm", self.width)
        shapes |= linear_shapes("feed_forward.intermediate_dense", self.width, self.inner_width)
        shapes |= linear_shapes("feed_forward.output_dense", self.inner_width, self.width)
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes |= linear_shapes(f"attention.{name}", self.width, self.width)
        if self.buckets is not None:
            head = self.width // self.heads
            shapes |= linear_shapes("attention.gru_rel_pos_linear", head, 8)
            shapes["attention.gru_rel_pos_const"] = (1, self.heads, 1, 1)
            if index == 0:
                shapes["attention.rel_attn_embed.weight"] = (self.buckets, self.heads)
        if self.adapter is not None:
            shapes |= norm_shapes("adapter_layer.norm", self.width)
            shapes |= linear_shapes("adapter_layer.linear_1", self.width, self.adapter)
            shapes |= linear_shapes("adapter_layer.linear_2", self.adapter, self.width)
        return shapes


def read_ctc_layout(config: Mapping[str, Any]) -> CtcLayout | None:
    """Return the layers of a configuration, or None if this package does not implement them."""
    record, family = family_of(config), str(config.get("model_type"))
    if record is None or record.packed_body is None:
        return None
    if not _is_plain(config) or not _has_sizes(config, family):
        return None
    stable, norm, conv_bias = (config.get(name) for name in _STABLE_NORM)
    group_norm = norm == "group" and family != "data2vec-audio"
    return CtcLayout(
        body=record.packed_body,
        convolutions=tuple(_convolutions(config)),
        channels=tuple(config["conv_dim"]),
        conv_bias=bool(conv_bias),
        group_norm=group_norm,
        projection_norm=family != "hubert" or config.get("feat_proj_layer_norm", True) is not False,
        positions=_read_positions(config),
        width=config["hidden_size"],
        inner_width=config["intermediate_size"],
        heads=config["num_attention_heads"],
        layers=config["num_hidden_layers"],
        pre_norm=bool(stable) and family != "data2vec-audio",
        eps=float(config["layer_norm_eps"]),
        adapter=_read_adapter(config) if stable else None,
        buckets=config["num_buckets"] if family == "wavlm" else None,
        longest=config["max_bucket_distance"] if family == "wavlm" else 0,
        columns=config["vocab_size"],
    )


def has_known_ctc_fields(config: Mapping[str, Any]) -> bool:
    """Return whether every field of a config.json is known to be used here or to be unused."""
    return all(name in _USED_FIELDS or name in _UNUSED_FIELDS for name in config)


def has_weights(weights: NetworkWeights, layout: CtcLayout) -> bool:
    """Return whether the weights are those of these layers; further ones are not used."""
    return any(weights.have(layout.shapes(names)) for names in WEIGHT_NORMS)


def _read_positions(config: Mapping[str, Any]) -> Positions:
    groups, count = config["num_conv_pos_embedding_groups"], config["num_conv_pos_embeddings"]
    if config["model_type"] == "data2vec-audio":
        return Positions(config["conv_pos_kernel_size"], groups, stacked=count)
    return Positions(count, groups, stacked=None)


def _read_adapter(config: Mapping[str, Any]) -> int | None:
    width = config.get("adapter_attn_dim")
    return width if config["model_type"] in _ADAPTED_FAMILIES else None


def _convolutions(config: Mapping[str, Any]) -> Iterator[Convolution]:
    for kernel, stride in zip(config["conv_kernel"], config["conv_stride"], strict=True):
        yield Convolution(kernel, stride)


def _is_plain(config: Mapping[str, Any]) -> bool:
    """Return whether the network has the activations and norms, and no layers beyond those here."""
    if any(config.get(name) != "gelu" for name in _ACTIVATIONS):
        return False
    if any(config.get(name) not in values for name, values in _PLAIN.items()):
        return False
    stable, norm, conv_bias = (config.get(name) for name in _STABLE_NORM)
    stable_known = isinstance(stable, bool) or config["model_type"] == "data2vec-audio"
    norm_known = norm in ("group", "layer") or config["model_type"] == "data2vec-audio"
    return stable_known and norm_known and isinstance(conv_bias, bool)


def _has_sizes(config: Mapping[str, Any], family: str) -> bool:
    sizes = [config.get(name) for name in (*_SIZES, *_FAMILY_FIELDS.get(family, ()))]
    adapter, eps = config.get("adapter_attn_dim"), config.get("layer_norm_eps")
    lists = [config.get(name) for name in _SIZE_LISTS]
    if not all(isinstance(one, list | tuple) and one for one in lists):
        return False
    inner = [size for one in lists if one is not None for size in one]
    if not all(is_size(one) for one in (*sizes, *inner, *([] if adapter is None else [adapter]))):
        return False
    one_length = len({len(one) for one in lists if one is not None}) == 1
    width, heads = config["hidden_size"], config["num_attention_heads"]
    divides = width % heads == 0 and width % config["num_conv_pos_embedding_groups"] == 0
    return one_length and divides and isinstance(eps, float)


def is_size(value: Any) -> bool:
    """Return whether a field of a configuration is a positive integer."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def prefix_names(prefix: str, shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """Return the shapes with longer names."""
    return {f"{prefix}.{name}": shape for name, shape in shapes.items()}


def norm_shapes(name: str, width: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the weights of a norm."""
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def linear_shapes(name: str, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the weights of a linear."""
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}

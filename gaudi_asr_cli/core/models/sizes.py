"""The sizes in a config.json: each is a positive integer, and plausible for the stored weights.

A network of ten million layers, or as wide as a disk, would take the machine's memory before the
first of its weights is found missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gaudi_asr_cli.core.errors import DataError

LAYERS = frozenset(
    {
        "decoder_layers",
        "decoder_num_hidden_layers",
        "encoder_layers",
        "encoder_num_hidden_layers",
        "n_layer",
        "num_adapter_layers",
        "num_conv_layers",
        "num_hidden_layers",
    }
)
WIDTHS = frozenset(
    {
        "adapter_attn_dim",
        "conv_channels",
        "conv_dim",
        "conv_kernel",
        "conv_pos_kernel_size",
        "d_model",
        "decoder_ffn_dim",
        "encoder_ffn_dim",
        "feature_projection_input_dim",
        "hidden_size",
        "input_feat_per_channel",
        "intermediate_size",
        "max_source_positions",
        "max_target_positions",
        "n_embd",
        "n_inner",
        "n_positions",
        "num_buckets",
        "num_conv_pos_embeddings",
        "num_mel_bins",
        "output_hidden_size",
        "position_buckets",
        "subsampling_conv_channels",
        "vocab_size",
    }
)
"""Fields that are dimensions of weights, or small."""
COUNTS = frozenset(
    {
        "adapter_kernel_size",
        "adapter_stride",
        "conv_stride",
        "decoder_attention_heads",
        "decoder_num_attention_heads",
        "encoder_attention_heads",
        "encoder_num_attention_heads",
        "max_bucket_distance",
        "max_position_embeddings",
        "n_head",
        "num_attention_heads",
        "num_conv_pos_embedding_groups",
        "num_key_value_heads",
        "squeeze_factor",
        "subsampling_conv_kernel_size",
        "subsampling_conv_stride",
        "subsampling_factor",
    }
)
MAX_LAYERS = 1_000
MAX_COUNT = 10_000_000
PLAIN_WIDTH = 16_384
"""A size up to this is not compared with the weights."""
REMEDY = "Copy the config.json that came with the weights."


def check_sizes(path: Path, config: Mapping[str, Any], weights: Sequence[Path]) -> None:
    """Check the sizes in a config.json, those of its encoder and decoder included.

    Args:
        path: The file, for messages.
        config: Its content.
        weights: The safetensors files beside it; read only if a size is large.

    Raises:
        DataError: A size is not a positive integer, or larger than the weights can have.
    """
    widest = None
    for name, value in _sizes(config):
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            shown = repr(value)[:60]
            raise DataError(f"{path}: {name} is {shown}, not a positive integer.", remedy=REMEDY)
        limit = _limit(name)
        if name in WIDTHS and value > limit:
            widest = find_widest(weights) if widest is None else widest
            limit = max(limit, widest)
        if value > limit:
            raise DataError(
                f"{path}: {name} is {value if value < 10**30 else 'enormous'}, which no weight of "
                f"the model fits (at most {limit}).",
                remedy=REMEDY,
            )


def _limit(name: str) -> int:
    if name in LAYERS:
        return MAX_LAYERS
    return PLAIN_WIDTH if name in WIDTHS else MAX_COUNT


def _sizes(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield each size; lists give their items."""
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from _sizes(value)
        elif value is not None and (name in WIDTHS or name in LAYERS or name in COUNTS):
            items = value if isinstance(value, list) else [value]
            yield from ((name, item) for item in items[:MAX_LAYERS])


def find_widest(weights: Sequence[Path]) -> int:
    """Return the largest dimension of the stored weights; 0 if a file is broken."""
    from safetensors import SafetensorError, safe_open

    widest = 0
    for path in weights:
        try:
            with safe_open(path, framework="pt") as opened:
                for name in opened.keys():  # noqa: SIM118 - no mapping
                    widest = max(widest, *opened.get_slice(name).get_shape(), 0, 0)
        except (SafetensorError, OSError):
            # Named where the weights are opened.
            return 0
    return widest

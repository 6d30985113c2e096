"""Open an encoder-decoder for fine-tuning, freeze parts, add LoRA, save it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gaudi_asr_cli.core.devices.base import Device
from gaudi_asr_cli.core.errors import MachineError, RecipeError
from gaudi_asr_cli.core.models.families import processor_class
from gaudi_asr_cli.core.models.folder import find_model
from gaudi_asr_cli.core.models.loading import load_network
from gaudi_asr_cli.core.models.log_mel import FILL_OF_SILENCE, WINDOW_FILL, LogMel
from gaudi_asr_cli.core.models.quiet import quiet_transformers
from gaudi_asr_cli.core.models.seq2seq.model import (
    Seq2SeqModel,
    assemble_seq2seq_model,
    require_cross_attention,
)
from gaudi_asr_cli.core.models.seq2seq.subwords import save_tokenizer
from gaudi_asr_cli.core.whole_files import write_whole

MASKS = ("mask_time_prob", "mask_feature_prob")


def open_seq2seq_for_training(
    name: str,
    *,
    device: Device,
    encoder: Mapping[str, Any] | None = None,
    decoder: Mapping[str, Any] | None = None,
    dtype: str = "auto",
) -> Seq2SeqModel:
    """Open a model with fp32 weights for fine-tuning.

    Args:
        name: A model folder, a run folder, or a hub id.
        device: Device to train on.
        encoder: Overrides of the encoder's configuration: dropouts, SpecAugment, layerdrop.
        decoder: The same for the decoder; a Whisper has one configuration for both.
        dtype: Compute dtype; the weights stay fp32.

    Raises:
        DataError: The folder holds no such model, or its decoder has no cross-attention.
        RecipeError: A configuration has no such field.
        UnreachableError: A hub id that is neither cached nor reachable.
    """
    chosen = device.choose_dtype(dtype)
    device.prepare_training()
    folder = find_model(name, kind="seq2seq")
    require_cross_attention(folder)
    split_config = isinstance(folder.read_config().get("encoder"), dict)
    overrides = arrange_overrides(
        dict(encoder or {}), dict(decoder or {}), split_config=split_config
    )
    network = load_network(folder, overrides, kind="seq2seq")
    model = assemble_seq2seq_model(network, folder, device, chosen)
    # Training needs no KV cache, and optimum-habana's BART cannot train with one.
    keep_caches(network, kept=False)
    network.train()
    return model


def keep_caches(network: Any, *, kept: bool) -> None:
    """Set whether a forward pass returns a KV cache; `generate` decides for itself."""
    configs: tuple[Any, ...] = (network.config, getattr(network.config, "decoder", None))
    for config in configs:
        if hasattr(config, "use_cache"):
            config.use_cache = kept


def arrange_overrides(
    encoder: dict[str, Any], decoder: dict[str, Any], *, split_config: bool
) -> dict[str, Any]:
    """Return the overrides of encoder and decoder in the layout of the model's configuration."""
    if split_config:
        return {"encoder": encoder, "decoder": decoder}
    # Whisper applies SpecAugment only if this switch is set as well.
    masks = any(encoder.get(name) for name in MASKS)
    return {**({"apply_spec_augment": True} if masks else {}), **encoder, **decoder}


def freeze_parts(model: Seq2SeqModel, parts: str) -> None:
    """Freeze parts of the network.

    Args:
        model: A model opened for training.
        parts: `none`, `feature-encoder` (the convolutions) or `encoder` (the whole encoder except
            an adapter after it, which starts at random).

    Raises:
        RecipeError: `parts` is none of these.
    """
    if parts not in {"none", "feature-encoder", "encoder"}:
        raise RecipeError(
            f"freeze: '{parts}'.", remedy="Choose one of none, feature-encoder, encoder."
        )
    encoder = model.network.get_encoder()
    if parts == "encoder":
        encoder.requires_grad_(False)
        if getattr(encoder, "adapter", None) is not None:
            encoder.adapter.requires_grad_(True)
    elif parts == "feature-encoder":
        for convolutions in _find_convolutions(encoder):
            convolutions.requires_grad_(False)


def _find_convolutions(encoder: Any) -> Iterable[Any]:
    """Return the convolutions that compute the first frames; a wav2vec2-BERT has none."""
    names = ("feature_extractor", "conv1", "conv2", "conv3", "conv")
    return [part for name in names if (part := getattr(encoder, name, None)) is not None]


@dataclass(frozen=True, slots=True)
class LowRank:
    """Low-rank adaptation (LoRA): the update of a layer is B A alpha / rank, weights are frozen."""

    rank: int
    alpha: float
    dropout: float
    targets: tuple[str, ...]
    seed: int = 42


def add_low_rank(model: Seq2SeqModel, lora: LowRank) -> int:
    """Freeze all weights and add LoRA updates to the target layers, in place.

    Returns:
        The number of layers with an update.

    Raises:
        MachineError: peft is not installed.
        RecipeError: No layer has one of these names.
    """
    import torch

    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise MachineError(
            "Low-rank updates need peft, which is not installed.",
            remedy="pip install 'gaudi-asr[lora]'",
        ) from error
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=list(lora.targets),
    )
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(lora.seed)
            inject_adapter_in_model(config, model.network)
    except ValueError as error:
        raise RecipeError(
            f"lora.targets: no layer of {model.name} is called {' or '.join(lora.targets)}.",
            remedy="Name layers by the end of their names, such as q_proj or fc1.",
        ) from error
    return len(list(find_low_rank(model.network)))


def find_low_rank(network: Any) -> Iterable[tuple[str, Any]]:
    """Return the names and modules of layers with a LoRA update."""
    return [
        (name, module)
        for name, module in network.named_modules()
        if hasattr(module, "lora_A") and hasattr(module, "get_base_layer")
    ]


def merge_low_rank(network: Any) -> None:
    """Merge the LoRA updates into the weights, which leaves a plain model."""
    for name, module in find_low_rank(network):
        module.merge()
        parent, _, last = name.rpartition(".")
        setattr(network.get_submodule(parent), last, module.get_base_layer())


def save_seq2seq(model: Seq2SeqModel, directory: Path) -> None:
    """Write model, tokenizer and feature extractor so that transformers 4.55 and 5 load them.

    LoRA updates are merged into the weights first.

    Raises:
        OSError: The disk is full, or the folder cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    merge_low_rank(model.network)
    keep_caches(model.network, kept=True)
    with quiet_transformers():
        model.network.save_pretrained(directory, max_shard_size="50GB")
    save_tokenizer(model.tokenizer, directory)
    settings = dict(model.frontend.settings)
    if isinstance(model.frontend, LogMel):
        settings[WINDOW_FILL] = FILL_OF_SILENCE
    save_settings(settings, model.config, directory)


def save_settings(settings: Mapping[str, Any], config: Mapping[str, Any], directory: Path) -> None:
    """Write preprocessor_config.json; never processor_config.json, which 4.55 cannot read."""
    named = {"processor_class": processor_class(config.get("encoder") or config), **settings}
    path = directory / "preprocessor_config.json"
    write_whole(path, json.dumps(named, indent=2, sort_keys=True) + "\n")

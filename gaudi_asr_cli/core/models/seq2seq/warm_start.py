"""Warm-start an encoder-decoder from two checkpoints: a speech encoder and a text decoder.

Equivalent to transformers' `SpeechEncoderDecoderModel.from_encoder_decoder_pretrained`, but the two
are loaded separately, to know which weights are pretrained and which are random.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gaudi_asr_cli.core.errors import DataError, UsageError
from gaudi_asr_cli.core.models.families import (
    attention_arguments,
    correct_config,
    isolates_padding,
    processor_class,
)
from gaudi_asr_cli.core.models.features import read_settings
from gaudi_asr_cli.core.models.folder import ModelFolder, find_model
from gaudi_asr_cli.core.models.geometry import geometry_from_config
from gaudi_asr_cli.core.models.loading import dtype_argument, open_config, override
from gaudi_asr_cli.core.models.own_code import own_code_left_alone
from gaudi_asr_cli.core.models.quiet import loading_errors, name_reason, quiet_transformers
from gaudi_asr_cli.core.models.seq2seq.model import open_tokenizer
from gaudi_asr_cli.core.models.seq2seq.subwords import save_tokenizer
from gaudi_asr_cli.core.whole_files import write_whole

MAX_TOKENS = 200
BEAMS = 5
ADAPTER_LAYERS = 3
"""Each halves the frame rate: with three, an encoder state covers eight frames."""

ENCODER_OVERRIDES = {"layerdrop": 0.0, "feat_proj_dropout": 0.0}
"""Set in the encoder's configuration: both hurt at the low frame rate after the adapter."""

SAMPLE = (
    "He hoped there would be stew for dinner, turnips and carrots and bruised potatoes and fat "
    "mutton pieces to be ladled out in thick, peppered, flour fattened sauce."
)
"""Read English, to measure the average number of characters per token."""


@dataclass(frozen=True, slots=True)
class WarmStart:
    """The two checkpoints and how to connect them.

    `adapter_layers` convolutions follow the encoder, each halving the frame rate.
    `position_frames` is the new kernel size of the encoder's positional convolution, None keeps it;
    `pad_token` is the padding token for a tokenizer that has none (GPT-2).
    """

    encoder: str
    decoder: str
    adapter_layers: int = ADAPTER_LAYERS
    max_tokens: int = MAX_TOKENS
    beams: int = BEAMS
    position_frames: int | None = None
    pad_token: str | None = None
    seed: int = 42


@dataclass(frozen=True, slots=True)
class Weights:
    """Number of weights of a part that are pretrained, and that are random."""

    part: str
    pretrained: int
    random: int


@dataclass(frozen=True, slots=True)
class Joined:
    """An encoder-decoder with its tokenizer; `settings` are the feature extractor's."""

    network: Any
    tokenizer: Any
    settings: Mapping[str, Any]
    weights: tuple[Weights, ...]
    state_s: float
    position_s: float | None
    characters_per_token: float


def join(request: WarmStart) -> Joined:
    """Load encoder and decoder and combine them; reproducible by the seed.

    Raises:
        DataError: The encoder is not a speech encoder, the decoder cannot attend to it, or its
            tokenizer lacks a token that generation needs.
        RecipeError: The encoder's family has no adapter.
        UsageError: The encoder's positional convolution cannot have that kernel size.
        UnreachableError: A hub id that is neither cached nor reachable.
    """
    import torch

    encoder_folder = find_model(request.encoder, kind=None)
    decoder_folder = find_model(request.decoder, kind="text")
    check_decoder(decoder_folder)
    tokenizer = open_padding_tokenizer(decoder_folder, request.pad_token)
    with quiet_transformers(), own_code_left_alone(), torch.random.fork_rng(devices=[]):
        encoder, encoder_fresh = _load_encoder(encoder_folder, request.adapter_layers)
        decoder, decoder_fresh = _load_decoder(decoder_folder)
        # Only now: how many random numbers loading draws differs between devices.
        torch.manual_seed(request.seed)
        draw_weights(encoder, encoder_fresh)
        draw_weights(decoder, decoder_fresh)
        added = widen_positions(encoder, request.position_frames)
        network = _combine(encoder, decoder)
    _check_columns(tokenizer, network, decoder_folder)
    _set_tokens(network, tokenizer, request)
    return Joined(
        network=network,
        tokenizer=tokenizer,
        settings=read_settings(encoder_folder.path, encoder.config.to_dict()),
        weights=tuple(_count_weights(network, encoder_fresh, decoder_fresh, added)),
        state_s=geometry_from_config(encoder.config.to_dict()).frame_s,
        position_s=_cover_positions(encoder.config.to_dict()),
        characters_per_token=count_characters(tokenizer),
    )


def check_decoder(folder: ModelFolder) -> None:
    """Check that a decoder can have cross-attention, before its weights are read.

    Raises:
        DataError: Its family generates no text, or has no cross-attention.
    """
    from transformers import AutoModelForCausalLM

    with quiet_transformers():
        try:
            config = open_config(folder)
            kind = AutoModelForCausalLM._model_mapping[type(config)]
        except KeyError:
            raise _no_decoder(folder, config.model_type, "no class that generates text") from None
        except loading_errors() as error:
            raise DataError(
                f"transformers cannot open {folder.name}: {name_reason(error)}",
                remedy="Name a text model that save_pretrained wrote, such as facebook/bart-base.",
            ) from error
    if "encoder_hidden_states" not in inspect.signature(kind.forward).parameters:
        raise _no_decoder(folder, config.model_type, "no cross-attention")


def _no_decoder(folder: ModelFolder, family: str, lack: str) -> DataError:
    return DataError(
        f"{folder.name} cannot be the decoder: the family '{family}' has {lack}.",
        remedy="Choose a decoder with cross-attention, such as facebook/bart-base, or a BERT, "
        "RoBERTa or GPT-2, whose cross-attention is initialised at random.",
    )


def open_padding_tokenizer(folder: ModelFolder, pad_token: str | None) -> Any:
    """Open the decoder's tokenizer, and set its padding token.

    Raises:
        DataError: There is no tokenizer, or no padding token.
    """
    tokenizer = open_tokenizer(folder)
    if pad_token is not None:
        if pad_token not in tokenizer.get_vocab():
            raise DataError(
                f"The tokenizer of {folder.name} has no token {pad_token!r}.",
                remedy="--pad-token must be one of its own tokens, such as its end of text.",
            )
        tokenizer.pad_token = pad_token
    if tokenizer.pad_token_id is None:
        example = tokenizer.eos_token or "TOKEN"
        raise DataError(
            f"The tokenizer of {folder.name} has no padding token, so texts cannot be batched.",
            remedy=f"Use another token, which the loss then ignores: --pad-token '{example}'.",
        )
    return tokenizer


def _load_encoder(folder: ModelFolder, adapter_layers: int) -> tuple[Any, frozenset[str]]:
    """Load the body of a speech model in fp32, and return the names of its random weights."""
    from transformers import AutoModel

    correct_config(folder.read_config().get("model_type"))
    try:
        config = open_config(folder)
        geometry_from_config(config.to_dict())
        adapter: dict[str, Any] = {"add_adapter": adapter_layers > 0}
        if adapter_layers:
            adapter["num_adapter_layers"] = adapter_layers
        elif "add_adapter" not in config.to_dict():
            adapter = {}
        override(config, {**adapter, **ENCODER_OVERRIDES})
        network, report = AutoModel.from_pretrained(
            folder.path,
            config=config,
            **_loading(),
            **attention_arguments(config.to_dict()),
        )
    except loading_errors() as error:
        raise DataError(
            f"transformers cannot open {folder.name} as a speech encoder: {name_reason(error)}",
            remedy="Choose a model of a wav2vec 2.0-like family, such as facebook/wav2vec2-base.",
        ) from error
    return network, frozenset(report["missing_keys"])


def draw_weights(network: Any, fresh: frozenset[str]) -> None:
    """Initialise random weights as the model's family does.

    transformers does so itself, but after the import of the Gaudi stand-in some weights were left
    as uninitialised memory (transformers 5.23).
    """
    for name, module in network.named_modules():
        names = [f"{name}.{weight}" for weight, _ in module.named_parameters(recurse=False)]
        if names and fresh.issuperset(names):
            network._init_weights(module)


def widen_positions(encoder: Any, frames: int | None) -> int:
    """Widen the positional convolution to `frames`, without changing the encoder's output.

    The decoder has to find the next word among the encoder's states. If the position embedding of a
    state depends only on a third of a second around it, the decoder confuses the order of states.

    Returns:
        The number of new weights; they are zero until trained.

    Raises:
        UsageError: The encoder has no such convolution, or a wider one already.
    """
    import torch

    if frames is None:
        return 0
    before = getattr(encoder.config, "num_conv_pos_embeddings", 0)
    holder: Any = getattr(encoder, "encoder", None)
    old: Any = getattr(holder, "pos_conv_embed", None)
    if not hasattr(getattr(old, "conv", None), "parametrizations"):
        raise UsageError(
            f"An encoder of type '{encoder.config.model_type}' has no positional convolution that "
            "could be widened.",
            remedy="Omit --position-frames.",
        )
    if frames < before or (frames - before) % 2:
        raise UsageError(
            f"--position-frames {frames}: the encoder's positional convolution covers {before}.",
            remedy=f"Pass {before} or more, in steps of 2.",
        )
    encoder.config.num_conv_pos_embeddings = frames
    widened = type(old)(encoder.config)
    inside = slice((frames - before) // 2, (frames + before) // 2)
    with torch.no_grad():
        # Weight normalisation: a gain for each frame of the kernel, and a direction.
        gains, directions = widened.conv.parametrizations.weight.parameters()
        old_gains, old_directions = old.conv.parametrizations.weight.parameters()
        gains.zero_()
        gains[..., inside] = old_gains
        directions[..., inside] = old_directions
        widened.conv.bias.copy_(old.conv.bias)
    holder.pos_conv_embed = widened
    return _count(widened) - _count(old)


def _count(module: Any) -> int:
    return sum(int(weight.numel()) for weight in module.parameters())


def _cover_positions(config: Mapping[str, Any]) -> float | None:
    """Return the time that the positional convolution covers, in seconds; None if unknown."""
    frames = config.get("num_conv_pos_embeddings")
    if not frames or not isolates_padding(config):
        return None
    return float(frames) * geometry_from_config({**config, "add_adapter": False}).frame_s


def _load_decoder(folder: ModelFolder) -> tuple[Any, frozenset[str]]:
    """Load the decoder with cross-attention in fp32, and return the names of its random weights."""
    from transformers import AutoModelForCausalLM

    config = open_config(folder)
    config.is_decoder, config.add_cross_attention = True, True
    if hasattr(config, "decoder_layers"):
        # A bare BART decoder reports its encoder's layers; transformers 5 sizes the cache by these.
        config.encoder_layers = config.num_hidden_layers = config.decoder_layers
    try:
        network, report = AutoModelForCausalLM.from_pretrained(
            folder.path, config=config, **_loading()
        )
    except loading_errors() as error:
        raise DataError(
            f"transformers cannot open {folder.name} as a text decoder: {name_reason(error)}",
            remedy="Choose a text model such as facebook/bart-base.",
        ) from error
    missing = frozenset(report["missing_keys"])
    return network, missing - _take_shared_embedding(network, folder, missing)


def _take_shared_embedding(
    network: Any, folder: ModelFolder, missing: frozenset[str]
) -> frozenset[str]:
    """Fill the decoder's embedding from the shared one of an encoder-decoder checkpoint.

    save_pretrained writes shared weights once, under the name of the whole model (BART:
    `shared.weight`). The decoder's class does not read that name and would start at random.

    Returns:
        The names that are no longer random.
    """
    from safetensors import safe_open

    embedding = network.get_input_embeddings().weight
    names = frozenset(
        name
        for name, weight in network.named_parameters(remove_duplicate=False)
        if weight is embedding
    )
    if not names & missing:
        return frozenset()
    for path in folder.list_weights():
        with safe_open(path, framework="pt") as opened:
            for key in opened.keys():  # noqa: SIM118 - no mapping
                tensor = opened.get_tensor(key) if key.endswith("shared.weight") else None
                if tensor is not None and tensor.shape == embedding.shape:
                    embedding.data.copy_(tensor)
                    return names
    return frozenset()


def _loading() -> dict[str, Any]:
    return {
        "local_files_only": True,
        "use_safetensors": True,
        "trust_remote_code": False,
        "output_loading_info": True,
        **dtype_argument("fp32"),
    }


def _combine(encoder: Any, decoder: Any) -> Any:
    from transformers import SpeechEncoderDecoderConfig, SpeechEncoderDecoderModel

    config = SpeechEncoderDecoderConfig.from_encoder_decoder_configs(encoder.config, decoder.config)
    return SpeechEncoderDecoderModel(encoder=encoder, decoder=decoder, config=config)


def _check_columns(tokenizer: Any, network: Any, folder: ModelFolder) -> None:
    rows = int(network.decoder.get_input_embeddings().num_embeddings)
    if len(tokenizer) > rows:
        raise DataError(
            f"The tokenizer of {folder.name} has {len(tokenizer)} tokens, the decoder only {rows} "
            "embeddings.",
            remedy="Use the tokenizer that this model was trained with.",
        )


def _set_tokens(network: Any, tokenizer: Any, request: WarmStart) -> None:
    """Set start, end and padding tokens, and the generation configuration.

    transformers 5 rejects generation settings in the network's configuration.
    """
    from transformers import GenerationConfig

    decoder = network.config.decoder
    start = _first(decoder.bos_token_id, tokenizer.bos_token_id, tokenizer.cls_token_id)
    end = _first(decoder.eos_token_id, tokenizer.eos_token_id, tokenizer.sep_token_id)
    if start is None or end is None:
        raise DataError(
            f"The tokenizer of {request.decoder} has no start or no end token.",
            remedy="Set bos_token and eos_token in its tokenizer_config.json.",
        )
    tokens = {
        "decoder_start_token_id": start,
        "eos_token_id": end,
        "pad_token_id": tokenizer.pad_token_id,
    }
    for name, token in tokens.items():
        setattr(network.config, name, token)
    network.generation_config = GenerationConfig(
        **tokens,
        bos_token_id=start,
        max_length=min(request.max_tokens, count_positions(decoder) or request.max_tokens),
        num_beams=request.beams,
    )


def _first(*tokens: int | None) -> int | None:
    return next((token for token in tokens if token is not None), None)


def count_positions(config: Any) -> int | None:
    """Return the context length of a decoder configuration, in tokens; None if unlimited."""
    for name in ("max_target_positions", "max_position_embeddings", "n_positions"):
        positions = getattr(config, name, None)
        if isinstance(positions, int) and positions > 0:
            return positions
    return None


def _count_weights(
    network: Any, encoder_fresh: frozenset[str], decoder_fresh: frozenset[str], added: int
) -> Iterator[Weights]:
    encoder = _count_part("encoder", network.encoder, encoder_fresh, "")
    yield Weights("encoder", encoder.pretrained - added, encoder.random)
    if added:
        yield Weights("positions", 0, added)
    parts = {
        "adapter": (getattr(network.encoder, "adapter", None), encoder_fresh, "adapter."),
        "projection": (getattr(network, "enc_to_dec_proj", None), None, ""),
        "decoder": (network.decoder, decoder_fresh, ""),
    }
    for part, (module, fresh, prefix) in parts.items():
        if module is not None:
            yield _count_part(part, module, fresh, prefix)


def _count_part(part: str, module: Any, fresh: frozenset[str] | None, prefix: str) -> Weights:
    """Count weights; tied ones count once, and are pretrained if one of their names is."""
    names: dict[int, list[str]] = {}
    sizes: dict[int, int] = {}
    for name, weight in module.named_parameters(remove_duplicate=False):
        # The adapter is counted separately.
        if part != "encoder" or not name.startswith("adapter."):
            names.setdefault(id(weight), []).append(prefix + name)
            sizes[id(weight)] = weight.numel()
    random = sum(
        sizes[weight_id]
        for weight_id, weight_names in names.items()
        if fresh is None or all(name in fresh for name in weight_names)
    )
    return Weights(part, sum(sizes.values()) - random, random)


def count_characters(tokenizer: Any) -> float:
    """Return the average characters per token, in English or, failing that, over the vocabulary."""
    tokens = tokenizer(SAMPLE, add_special_tokens=False)["input_ids"]
    if tokens and tokenizer.unk_token_id not in tokens:
        return len(SAMPLE) / len(tokens)
    special = set(tokenizer.all_special_ids)
    texts = [
        tokenizer.decode([token]).strip()
        for token in tokenizer.get_vocab().values()
        if token not in special
    ]
    # A word is followed by a space, which its token does not show.
    return sum(len(text) + (len(text) > 1) for text in texts) / max(1, len(texts))


def save_joined(joined: Joined, directory: Path) -> None:
    """Save model, tokenizer and feature extractor so that transformers 4.55 and 5 load them.

    Raises:
        OSError: The disk is full, or the folder cannot be written.
    """
    with quiet_transformers():
        joined.network.save_pretrained(directory, max_shard_size="50GB")
    save_tokenizer(joined.tokenizer, directory)
    settings = {
        **joined.settings,
        "processor_class": processor_class(joined.network.config.encoder.to_dict()),
    }
    text = json.dumps(settings, indent=2, sort_keys=True)
    write_whole(directory / "preprocessor_config.json", text + "\n")


def check_request(request: WarmStart) -> None:
    """Check the numbers of a request.

    Raises:
        UsageError: A number is out of range.
    """
    if request.adapter_layers < 0:
        raise UsageError(
            f"--adapter-layers {request.adapter_layers} is negative.",
            remedy="0 keeps the frame rate; 3 is usual.",
        )
    if request.max_tokens < 1 or request.beams < 1:
        raise UsageError(
            "Beam size and maximum tokens must be at least 1.", remedy="Pass --beams 1 or more."
        )

"""Open a CTC model for fine-tuning, remap its head, freeze parts, save it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaudi_asr_cli.core.devices.base import Device, torch_dtype
from gaudi_asr_cli.core.errors import RecipeError
from gaudi_asr_cli.core.models.ctc.adapters import (
    check_adapters,
    list_languages,
    load_adapter,
    replace_head,
    save_adapter,
)
from gaudi_asr_cli.core.models.ctc.model import CtcModel, assemble_ctc_model
from gaudi_asr_cli.core.models.families import has_tied_head, head_of, processor_class
from gaudi_asr_cli.core.models.folder import ModelFolder, find_model, has_trained_head
from gaudi_asr_cli.core.models.loading import load_network
from gaudi_asr_cli.core.models.quiet import quiet_transformers
from gaudi_asr_cli.core.records import Vocabulary
from gaudi_asr_cli.core.text.vocabulary import read_vocabulary, write_tokenizer_files
from gaudi_asr_cli.core.whole_files import write_whole

if TYPE_CHECKING:
    import torch


def open_for_training(  # noqa: PLR0913 - each is a setting of the recipe
    name: str,
    *,
    device: Device,
    vocabulary: Vocabulary | None = None,
    overrides: Mapping[str, Any] | None = None,
    language: str | None = None,
    dtype: str = "auto",
    seed: int = 42,
) -> CtcModel:
    """Open a model with fp32 weights for fine-tuning.

    A new vocabulary gets a new head: rows of tokens that the trained head already has are copied,
    the others are initialised at random and listed in `new_tokens`.

    Args:
        name: A model folder, a run folder, `demo`, or a hub id.
        device: Device to train on.
        vocabulary: Output vocabulary; None keeps the model's own.
        overrides: Fields of its configuration: dropouts, SpecAugment, layerdrop, CTC loss.
        language: MMS adapter to start from and to train; one that the model does not have is
            initialised at random and needs a vocabulary.
        dtype: Compute dtype; the weights stay fp32.
        seed: Seed of the random rows.

    Raises:
        DataError: The folder holds no CTC model.
        RecipeError: No vocabulary is given and the model has none, one is given and the model
            cannot change its own, or an override is unknown.
        UnreachableError: A hub id that is neither cached nor reachable.
    """
    folder = find_model(name, language=language)
    old = _read_trained_vocabulary(folder, language)
    target = vocabulary if vocabulary is not None else old
    if target is None:
        raise RecipeError(
            f"{name} has no vocabulary of its own{_for_language(language)}.",
            remedy="Pass --vocab data (or --vocab FOLDER).",
        )
    if vocabulary is not None and has_tied_head(folder.read_config()):
        raise RecipeError(
            f"{name} keeps its vocabulary: the weights of its head are also those of a projection "
            "inside of its encoder.",
            remedy="Pass --vocab model, or fine-tune a model of another architecture.",
        )
    network = load_network(folder, overrides or {})
    if language is not None:
        _start_adapter(network, folder, language)
    new_tokens = () if vocabulary is None else remap_head(network, old, vocabulary, seed)
    network.config.pad_token_id = target.blank
    model = assemble_ctc_model(network, target, folder, device, device.choose_dtype(dtype))
    network.train()
    return replace(model, language=language, new_tokens=new_tokens)


def _read_trained_vocabulary(folder: ModelFolder, language: str | None) -> Vocabulary | None:
    """Return the vocabulary of the trained head, or None if the model has no trained head."""
    if not has_trained_head(folder):
        return None
    if language is not None and language not in list_languages(folder.path):
        return None
    return read_vocabulary(folder.path, language=language)


def _start_adapter(network: Any, folder: ModelFolder, language: str) -> None:
    """Load the adapter of the language, or initialise one if the model has none."""
    check_adapters(network, folder.name)
    if language in list_languages(folder.path):
        load_adapter(network, folder, language)
    else:
        network.init_adapter_layers()


def _for_language(language: str | None) -> str:
    return "" if language is None else f" for the language '{language}'"


def remap_head(network: Any, old: Vocabulary | None, new: Vocabulary, seed: int) -> tuple[str, ...]:
    """Replace the head by one for `new`, copying the rows of tokens that `old` also has.

    Blank, delimiter and unknown token are matched by role, whatever their names.

    Returns:
        The tokens whose rows are initialised at random.
    """
    import torch

    previous = getattr(network, head_of(network.config.to_dict()))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = replace_head(network, len(new.tokens))
    rows = {} if old is None else match_rows(old, new)
    for row, source in rows.items():
        head.weight.data[row] = previous.weight.data[source]
        head.bias.data[row] = previous.bias.data[source]
    return tuple(token for row, token in enumerate(new.tokens) if row not in rows)


def match_rows(old: Vocabulary, new: Vocabulary) -> dict[int, int]:
    """Map rows of `new` to rows of `old` with the same token; roles take precedence over names."""
    names = {token: row for row, token in enumerate(old.tokens) if row not in old.unnamed}
    rows = {row: names[token] for row, token in enumerate(new.tokens) if token in names}
    rows[new.blank] = old.blank
    if new.delimiter is not None and old.delimiter is not None:
        rows[new.delimiter] = old.delimiter
    if new.unknown is not None and old.unknown is not None:
        rows[new.unknown] = old.unknown
    return rows


def freeze(model: CtcModel, parts: str) -> None:
    """Freeze parts of the network.

    Args:
        model: A model opened for training.
        parts: `none`, `feature-encoder` (the convolutions), `encoder` (all but the head), or
            `all-but-adapter` (MMS: train only the language adapter and the head).

    Raises:
        RecipeError: `parts` is none of these.
        DataError: `all-but-adapter` for a model without adapters.
    """
    if parts not in FREEZES:
        raise RecipeError(f"freeze: '{parts}'.", remedy=f"Choose one of {', '.join(FREEZES)}.")
    FREEZES[parts](model)


def _freeze_nothing(model: CtcModel) -> None:
    """Leave every weight trainable."""


def _freeze_feature_encoder(model: CtcModel) -> None:
    # wav2vec2-BERT has none: its mel features have no weights.
    if hasattr(model.network, "freeze_feature_encoder"):
        model.network.freeze_feature_encoder()


def _freeze_encoder(model: CtcModel) -> None:
    _freeze_feature_encoder(model)
    # Not the base model: that of Parakeet and its relatives is the network, head included.
    model.network.requires_grad_(False)
    getattr(model.network, head_of(model.config)).requires_grad_(True)


def _freeze_all_but_adapter(model: CtcModel) -> None:
    check_adapters(model.network, model.name)
    model.network.base_model.requires_grad_(False)
    for parameter in model.network._get_adapters().values():
        parameter.requires_grad_(True)


FREEZES: dict[str, Callable[[CtcModel], None]] = {
    "none": _freeze_nothing,
    "feature-encoder": _freeze_feature_encoder,
    "encoder": _freeze_encoder,
    "all-but-adapter": _freeze_all_but_adapter,
}


def save_model(model: CtcModel, directory: Path, *, dtype: str | None = None) -> None:
    """Save a model so that transformers 4.55 and 5 load it (AutoModelForCTC, AutoProcessor).

    Writes model.safetensors, config.json, the tokenizer files and preprocessor_config.json; never
    processor_config.json, which 4.55 cannot read. Weights are cast to `dtype` if given.

    Raises:
        OSError: The disk is full, or the folder cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    network = model.network
    state = None if dtype is None else _cast_state(network, dtype)
    with quiet_transformers():
        # A single file: transformers 4.55 would start a new shard at 5 GB.
        network.save_pretrained(directory, state_dict=state, max_shard_size="50GB")
    if model.language is not None:
        save_adapter(network, directory, model.language)
    write_tokenizer_files(model.vocabulary, directory)
    # AutoProcessor does not know the processor of some families (data2vec-audio).
    settings = {**model.frontend.settings, "processor_class": processor_class(model.config)}
    text = json.dumps(settings, indent=2, sort_keys=True)
    write_whole(directory / "preprocessor_config.json", text + "\n")


def _cast_state(network: Any, dtype: str) -> dict[str, torch.Tensor]:
    target = torch_dtype(dtype)
    state = network.state_dict()
    return {
        name: tensor.to(target) if tensor.is_floating_point() else tensor
        for name, tensor in state.items()
    }

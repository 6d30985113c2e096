"""Opening a model to train it, freezing parts, saving it for everybody."""

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
from gaudi_asr_cli.core.models.families import processor_class
from gaudi_asr_cli.core.models.folder import ModelFolder, find_model, has_trained_head
from gaudi_asr_cli.core.models.loading import load_network
from gaudi_asr_cli.core.models.quiet import quiet_transformers
from gaudi_asr_cli.core.records import Vocabulary
from gaudi_asr_cli.core.text.vocabulary import read_vocabulary, write_tokenizer_files

if TYPE_CHECKING:
    import torch


def open_for_training(  # noqa: PLR0913 - each is a question of its own that the recipe answers
    name: str,
    *,
    device: Device,
    vocabulary: Vocabulary | None = None,
    overrides: Mapping[str, Any] | None = None,
    language: str | None = None,
    dtype: str = "auto",
    seed: int = 42,
) -> CtcModel:
    """Open a model with fp32 weights, ready to learn.

    A new vocabulary gets a new head: rows of tokens that a trained head already has are copied,
    the others start afresh and are named in `new_tokens`.

    Args:
        name: A model folder, a run's folder, `demo`, or a hub id.
        device: Where it trains.
        vocabulary: What it shall write; None keeps the model's own.
        overrides: Fields of its configuration: dropouts, SpecAugment, layerdrop, CTC loss.
        language: The MMS adapter to start from and to train; one that the model does not have
            starts afresh and needs a vocabulary.
        dtype: What it computes in; the weights stay fp32.
        seed: Of the rows that start afresh.

    Raises:
        DataError: No CTC model can be made of the folder.
        RecipeError: No vocabulary is given and the model has none, or an override is unknown.
        UnreachableError: A hub id that is neither cached nor reachable.
    """
    folder = find_model(name, language=language)
    old = _read_old_vocabulary(folder, language)
    wanted = vocabulary if vocabulary is not None else old
    if wanted is None:
        raise RecipeError(
            f"{name} has no vocabulary of its own{_for_language(language)}.",
            remedy="Pass --vocab data (or --vocab FOLDER) to give it one.",
        )
    network = load_network(folder, overrides or {})
    if language is not None:
        _start_adapter(network, folder, language)
    new_tokens = () if vocabulary is None else remap_head(network, old, vocabulary, seed)
    network.config.pad_token_id = wanted.blank
    model = assemble_ctc_model(network, wanted, folder, device, device.choose_dtype(dtype))
    network.train()
    return replace(model, language=language, new_tokens=new_tokens)


def _read_old_vocabulary(folder: ModelFolder, language: str | None) -> Vocabulary | None:
    """What the rows of the head mean; None where they mean nothing yet."""
    if not has_trained_head(folder):
        return None
    if language is not None and language not in list_languages(folder.path):
        return None
    return read_vocabulary(folder.path, language=language)


def _start_adapter(network: Any, folder: ModelFolder, language: str) -> None:
    """Go on from the language's adapter, or from a fresh one where the model has none."""
    check_adapters(network, folder.name)
    if language in list_languages(folder.path):
        load_adapter(network, folder, language)
    else:
        network.init_adapter_layers()


def _for_language(language: str | None) -> str:
    return "" if language is None else f" for the language '{language}'"


def remap_head(network: Any, old: Vocabulary | None, new: Vocabulary, seed: int) -> tuple[str, ...]:
    """Replace the head by one for `new`, copying the rows that `old` names alike.

    The blank goes to the blank and the delimiter to the delimiter, whatever they are called.

    Returns:
        Tokens whose rows are fresh.
    """
    import torch

    before = network.lm_head
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = replace_head(network, len(new.tokens))
    rows = {} if old is None else match_rows(old, new)
    for row, source in rows.items():
        head.weight.data[row] = before.weight.data[source]
        head.bias.data[row] = before.bias.data[source]
    return tuple(token for row, token in enumerate(new.tokens) if row not in rows)


def match_rows(old: Vocabulary, new: Vocabulary) -> dict[int, int]:
    """For each row of `new` that `old` has as well: its row there. Roles come before names."""
    names = {token: row for row, token in enumerate(old.tokens) if token}
    rows = {row: names[token] for row, token in enumerate(new.tokens) if token in names}
    rows[new.blank] = old.blank
    if new.delimiter is not None and old.delimiter is not None:
        rows[new.delimiter] = old.delimiter
    if new.unknown is not None and old.unknown is not None:
        rows[new.unknown] = old.unknown
    return rows


def freeze(model: CtcModel, parts: str) -> None:
    """Stop parts of the network from learning.

    Args:
        model: Opened for training.
        parts: `none`, `feature-encoder` (the convolutions), `encoder` (all but the head), or
            `all-but-adapter` (MMS: only the language's adapter and the head learn).

    Raises:
        RecipeError: There is no such choice.
        DataError: `all-but-adapter` of a model without adapters.
    """
    if parts not in FREEZES:
        raise RecipeError(f"freeze: '{parts}'.", remedy=f"Choose one of {', '.join(FREEZES)}.")
    FREEZES[parts](model)


def _freeze_nothing(model: CtcModel) -> None:
    """Every weight learns."""


def _freeze_feature_encoder(model: CtcModel) -> None:
    # wav2vec2-BERT has none: its mel features are computed, not learnt.
    if hasattr(model.network, "freeze_feature_encoder"):
        model.network.freeze_feature_encoder()


def _freeze_encoder(model: CtcModel) -> None:
    _freeze_feature_encoder(model)
    model.network.base_model.requires_grad_(False)


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
    """Write files that transformers 4.55 and 5 load through AutoModelForCTC and AutoProcessor.

    model.safetensors, config.json, the tokenizer's files and preprocessor_config.json; never
    processor_config.json, which 4.55 cannot read. `dtype` casts the weights on their way.

    Raises:
        OSError: The disk is full, or the folder cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    network = model.network
    state = None if dtype is None else _cast_state(network, dtype)
    with quiet_transformers():
        # One file: transformers 4.55 would cut at 5 GB, and a shard more is a file more to lose.
        network.save_pretrained(directory, state_dict=state, max_shard_size="50GB")
    if model.language is not None:
        save_adapter(network, directory, model.language)
    write_tokenizer_files(model.vocabulary, directory)
    # Of some families (data2vec-audio) AutoProcessor does not know the processor by itself.
    named = {**model.frontend.settings, "processor_class": processor_class(model.config)}
    settings = json.dumps(named, indent=2, sort_keys=True)
    (directory / "preprocessor_config.json").write_text(settings + "\n", encoding="utf-8")


def _cast_state(network: Any, dtype: str) -> dict[str, torch.Tensor]:
    wanted = torch_dtype(dtype)
    state = network.state_dict()
    return {
        name: tensor.to(wanted) if tensor.is_floating_point() else tensor
        for name, tensor in state.items()
    }

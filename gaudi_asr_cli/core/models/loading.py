"""Load networks with transformers' Auto classes, and check for missing weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

from gaudi_asr_cli.core.devices.base import torch_dtype
from gaudi_asr_cli.core.errors import DataError, RecipeError
from gaudi_asr_cli.core.models.families import attention_arguments, correct_config
from gaudi_asr_cli.core.models.folder import ModelFolder
from gaudi_asr_cli.core.models.own_code import forget_own_code, own_code_left_alone
from gaudi_asr_cli.core.models.quiet import (
    configuration_errors,
    loading_errors,
    name_reason,
    quiet_transformers,
    silence_advice,
)
from gaudi_asr_cli.core.models.weights import reject_not_finite

AUTO_CLASSES = {"ctc": "AutoModelForCTC", "seq2seq": "AutoModelForSpeechSeq2Seq"}
"""The transformers class for each kind of model."""
EXAMPLE_MODELS = {
    "ctc": "Choose a CTC model of a wav2vec 2.0-like family, such as facebook/wav2vec2-base-960h.",
    "seq2seq": "Choose a Whisper or a speech encoder-decoder model, such as openai/whisper-small.",
}
KIND_TITLES = {"ctc": "a CTC", "seq2seq": "a sequence-to-sequence"}

FRESH_WEIGHTS = ("lm_head", "ctc_head", "masked_spec_embed", "adapter_layer")
"""Weights that a checkpoint may lack: fine-tuning adds them, or only SpecAugment needs them."""

SWITCHES = frozenset(
    {
        "activation_dropout",
        "adapter_dropout",
        "apply_spec_augment",
        "attention_dropout",
        "feat_proj_dropout",
        "final_dropout",
        "hidden_dropout",
        "layerdrop",
        "mask_feature_prob",
        "mask_time_prob",
    }
)
"""Configuration fields that most families have; setting a missing one to 0 is allowed."""


def load_network(folder: ModelFolder, overrides: Mapping[str, Any], kind: str = "ctc") -> Any:
    """Load the network of a folder with fp32 weights and configuration `overrides`.

    A pretrained checkpoint gets a randomly initialised CTC head.

    Args:
        folder: The model folder.
        overrides: Configuration fields to set.
        kind: `ctc` or `seq2seq`.

    Raises:
        DataError: transformers has no such model for this configuration, or weights are missing.
        RecipeError: The configuration has no such field.
    """
    import transformers

    with _opening(folder, kind):
        config = open_config(folder)
        override(config, overrides)
        network, report = getattr(transformers, AUTO_CLASSES[kind]).from_pretrained(
            folder.path,
            config=config,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            # They are an error below, which names one; that of transformers does not.
            ignore_mismatched_sizes=True,
            **attention_arguments(config.to_dict()),
            **dtype_argument("fp32"),
        )
    _check_sizes(folder, report["mismatched_keys"], network)
    _check_missing(folder, report["missing_keys"])
    for name, weight in network.named_parameters():
        reject_not_finite(folder.path, name, weight.detach())
    silence_advice()
    return network


def open_config(folder: ModelFolder) -> Any:
    """Open the folder's configuration as transformers' own class, whatever code it names."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder.path, local_files_only=True, trust_remote_code=False)
    forget_own_code(config)
    return config


def outline_network(folder: ModelFolder) -> Any:
    """Build the network of a sequence-to-sequence folder on the meta device, without weights.

    Raises:
        DataError: transformers has no such model for this configuration.
    """
    import torch
    import transformers

    with _opening(folder, "seq2seq"):
        config = open_config(folder)
        with torch.device("meta"):
            network = transformers.AutoModelForSpeechSeq2Seq.from_config(
                config, trust_remote_code=False
            )
        if (folder.path / "generation_config.json").exists():
            network.generation_config = transformers.GenerationConfig.from_pretrained(
                folder.path, local_files_only=True
            )
    return network


@contextmanager
def _opening(folder: ModelFolder, kind: str) -> Iterator[None]:
    """Silence transformers, fix its family settings, and convert its errors to a `DataError`."""
    with quiet_transformers(), own_code_left_alone():
        correct_config(folder.read_config().get("model_type"))
        try:
            yield
        except loading_errors() as error:
            raise DataError(
                f"transformers cannot open {folder.name} as {KIND_TITLES[kind]} model: "
                f"{name_reason(error)}",
                remedy=EXAMPLE_MODELS[kind],
            ) from error


@contextmanager
def running(name: str) -> Iterator[None]:
    """Convert what transformers raises for values of a configuration that only fail when used.

    A `RuntimeError` is left alone: memory may be short.
    """
    try:
        yield
    except (LookupError, AttributeError, ArithmeticError, TypeError, ValueError) as error:
        raise DataError(
            f"transformers cannot run {name} with its configuration: {name_reason(error)}",
            remedy="Copy config.json and generation_config.json of the model again.",
        ) from error


def override(config: Any, overrides: Mapping[str, Any]) -> None:
    """Set fields of a configuration.

    Raises:
        RecipeError: The configuration has no such field, or rejects the value.
    """
    known = config.to_dict()
    for key, value in overrides.items():
        # Disabling what a family does not have (layerdrop of SEW-D) needs no change.
        if key not in known and (value or key not in SWITCHES):
            close = get_close_matches(key, known, n=1)
            raise RecipeError(
                f"A model of type '{config.model_type}' has no configuration field '{key}'.",
                remedy=f"Did you mean {close[0]}?" if close else "Omit it.",
            )
        inner = getattr(config, key, None)
        if isinstance(value, Mapping) and hasattr(inner, "to_dict"):
            # An encoder-decoder has nested configurations for encoder and decoder.
            override(inner, value)
            continue
        try:
            setattr(config, key, value)
        except configuration_errors() as error:
            raise RecipeError(
                f"{key}: {name_reason(error)}",
                remedy="See transformers' documentation of the model's configuration.",
            ) from error


def _check_sizes(folder: ModelFolder, mismatched: Iterable[Any], network: Any) -> None:
    """Reject stored weights of another size than the configuration has, which would be random.

    Args:
        folder: The model folder.
        mismatched: Names of weights, with both sizes in transformers 5.
        network: The network, with the sizes of its configuration.
    """
    found: list[list[Any]] = sorted([one] if isinstance(one, str) else [*one] for one in mismatched)
    if not found:
        return
    # The head, if it is among them: its size says most about what is wrong.
    name, *sizes = next((one for one in found if one[0].endswith("weight")), found[0])
    required = _format_size(network.state_dict()[name].shape)
    stored = f"; the stored one is {_format_size(sizes[0])}" if sizes else ", and the stored is not"
    raise DataError(
        f"{folder.name}: by config.json {name} is {required}{stored} ({len(found)} such weights).",
        remedy="Copy the config.json that came with the weights: for a head or embeddings, "
        "vocab_size must be theirs.",
    )


def _format_size(shape: Iterable[int]) -> str:
    return " x ".join(map(str, shape))


def _check_missing(folder: ModelFolder, missing: Iterable[str]) -> None:
    """Reject a checkpoint with missing weights, which transformers would silently randomise."""
    lacking = sorted(key for key in missing if not any(part in key for part in FRESH_WEIGHTS))
    if lacking:
        raise DataError(
            f"{folder.name} lacks {len(lacking)} of the weights that its config.json requires, "
            f"such as {lacking[0]}.",
            remedy="Copy or download the model again; config.json and weights must belong "
            "together.",
        )


def dtype_argument(dtype: str) -> dict[str, Any]:
    """Return the keyword argument of a dtype: `dtype` in transformers 5, `torch_dtype` in 4.55."""
    import transformers

    major = int(transformers.__version__.partition(".")[0])
    return {"dtype" if major >= 5 else "torch_dtype": torch_dtype(dtype)}

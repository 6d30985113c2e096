"""Build a small, randomly initialised wav2vec 2.0 that trains in minutes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from gaudi_asr_cli.core.devices.base import Device
from gaudi_asr_cli.core.devices.cpu import open_cpu
from gaudi_asr_cli.core.errors import RecipeError
from gaudi_asr_cli.core.models.ctc.model import CtcModel
from gaudi_asr_cli.core.models.features import default_settings, open_frontend
from gaudi_asr_cli.core.models.geometry import geometry_from_config
from gaudi_asr_cli.core.models.network import NetworkSource
from gaudi_asr_cli.core.models.quiet import configuration_errors, name_reason, quiet_transformers
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ, Vocabulary

if TYPE_CHECKING:
    from numpy.typing import NDArray

GABOR_LOW_HZ = 80.0
GABOR_HIGH_HZ = 4000.0
FIRST_CONVOLUTIONS = ("random", "gabor")
VOCABULARY_FIELDS = frozenset({"vocab_size", "pad_token_id", "bos_token_id", "eos_token_id"})
"""Fields that follow from the vocabulary."""


def build_from_scratch(
    architecture: Mapping[str, Any],
    vocabulary: Vocabulary,
    seed: int,
    *,
    device: Device | None = None,
    dtype: str = "auto",
) -> CtcModel:
    """Build a `Wav2Vec2ForCTC` with random weights, reproducible by its seed.

    Args:
        architecture: Fields of `Wav2Vec2Config`, and `first_convolution`: `gabor` initialises it as
            a mel-spaced filter bank (still trained), `random` as transformers does.
        vocabulary: Output vocabulary, one output per token.
        seed: Random seed of the weights.
        device: Device to place it on; default CPU.
        dtype: Compute dtype; the weights are fp32.

    Raises:
        RecipeError: `Wav2Vec2Config` has no such field, or rejects the values.
    """
    fields = dict(architecture)
    first_convolution = str(fields.pop("first_convolution", "random"))
    if first_convolution not in FIRST_CONVOLUTIONS:
        raise RecipeError(
            f"architecture.first_convolution: '{first_convolution}'.",
            remedy=f"Choose one of {', '.join(FIRST_CONVOLUTIONS)}.",
        )
    network = _build_network(fields, vocabulary, seed)
    if first_convolution == "gabor":
        _initialise_filter_bank(network)
    return _assemble(network, vocabulary, device or open_cpu(), dtype)


def gabor_filters(filters: int, kernel_samples: int) -> NDArray[np.float32]:
    """Return mel-spaced band-pass filters (filters, kernel_samples): cosines, then sines.

    Centre frequencies are spaced evenly on the mel scale from 80 to 4000 Hz, under a Hann window;
    each filter has the energy of a random initialisation, so that later layers get inputs of the
    usual magnitude.
    """
    pairs = filters // 2
    mels = np.linspace(_to_mel(GABOR_LOW_HZ), _to_mel(GABOR_HIGH_HZ), pairs)
    centres_hz = 700.0 * (10.0 ** (mels / 2595.0) - 1.0)
    time_s = (np.arange(kernel_samples) - kernel_samples / 2) / SAMPLE_RATE_HZ
    phases = 2 * np.pi * centres_hz[:, None] * time_s[None, :]
    bank = np.concatenate([np.cos(phases), np.sin(phases)]) * np.hanning(kernel_samples)
    energies = np.square(bank).sum(axis=1, keepdims=True)
    return np.asarray(bank / np.sqrt(energies), dtype=np.float32)


def _to_mel(frequency_hz: float) -> float:
    return float(2595.0 * np.log10(1.0 + frequency_hz / 700.0))


def _build_network(fields: dict[str, Any], vocabulary: Vocabulary, seed: int) -> Any:
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

    _check_fields(fields, Wav2Vec2Config())
    with quiet_transformers(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            config = Wav2Vec2Config(
                **fields,
                vocab_size=len(vocabulary.tokens),
                pad_token_id=vocabulary.blank,
                bos_token_id=None,
                eos_token_id=None,
            )
            return Wav2Vec2ForCTC(config)
        except configuration_errors() as error:
            raise RecipeError(
                f"architecture: {name_reason(error)}", remedy="Fix the fields of architecture."
            ) from error


def _check_fields(fields: Mapping[str, Any], known: Any) -> None:
    unknown = sorted(set(fields) - set(known.to_dict()))
    if unknown:
        raise RecipeError(
            f"architecture: Wav2Vec2Config has no field '{unknown[0]}'.",
            remedy="See transformers' Wav2Vec2Config for the field names.",
        )
    derived = sorted(set(fields) & VOCABULARY_FIELDS)
    if derived:
        raise RecipeError(
            f"architecture: '{derived[0]}' follows from the vocabulary.", remedy="Omit it."
        )


def _initialise_filter_bank(network: Any) -> None:
    import torch

    convolution = network.wav2vec2.feature_extractor.conv_layers[0].conv
    filters, _, kernel = convolution.weight.shape
    if filters % 2:
        raise RecipeError(
            f"architecture: first_convolution gabor needs an even conv_dim[0], not {filters}.",
            remedy="Make the first value of conv_dim even: half are cosines, half are sines.",
        )
    convolution.weight.data.copy_(torch.from_numpy(gabor_filters(filters, kernel)).unsqueeze(1))


def _assemble(network: Any, vocabulary: Vocabulary, device: Device, dtype: str) -> CtcModel:
    config = network.config.to_dict()
    geometry = geometry_from_config(config)
    return CtcModel(
        name="scratch",
        source=NetworkSource(device.place(network)),
        vocabulary=vocabulary,
        frontend=open_frontend(default_settings(config), config, geometry.minimum_samples),
        geometry=geometry,
        device=device,
        dtype=device.choose_dtype(dtype),
        new_tokens=vocabulary.tokens,
    )

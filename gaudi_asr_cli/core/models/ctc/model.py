"""CTC models (`AutoModelForCTC`), opened from a folder or the hub, and their emissions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from gaudi_asr_cli.core.devices.base import Device, torch_dtype
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.models.cpu.ctc_layout import (
    has_known_ctc_fields,
    has_weights,
    read_ctc_layout,
)
from gaudi_asr_cli.core.models.ctc.adapters import adapter_path, load_adapter
from gaudi_asr_cli.core.models.families import head_of, is_padding_invariant
from gaudi_asr_cli.core.models.features import Frontend, open_frontend, read_rate, read_settings
from gaudi_asr_cli.core.models.folder import ModelFolder, find_model, has_trained_head, other_task
from gaudi_asr_cli.core.models.geometry import FrameGeometry, geometry_from_config
from gaudi_asr_cli.core.models.loading import load_network, running
from gaudi_asr_cli.core.models.network import DeferredNetwork, NetworkSource
from gaudi_asr_cli.core.models.weights import NetworkWeights, read_weights, weights_of
from gaudi_asr_cli.core.records import AudioBatch, Emissions, Vocabulary
from gaudi_asr_cli.core.text.tokenizer_files import unused_token
from gaudi_asr_cli.core.text.vocabulary import read_vocabulary

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class CtcModel:
    """A CTC network with its vocabulary and feature extraction.

    `network`, on `device`, is loaded when it is first used if `source` is deferred. `dtype` is the
    compute dtype; the weights may still be fp32 (training).
    `new_tokens` are tokens whose rows in the head were initialised at random.
    """

    name: str
    source: NetworkSource
    vocabulary: Vocabulary
    frontend: Frontend
    geometry: FrameGeometry
    device: Device
    dtype: str
    language: str | None = None
    new_tokens: tuple[str, ...] = ()

    @property
    def network(self) -> Any:
        """Return transformers' network."""
        return self.source.network

    @property
    def config(self) -> dict[str, Any]:
        """Return the network's configuration as a plain mapping."""
        return self.source.config

    @property
    def weights(self) -> NetworkWeights:
        """Return the network's weights by name."""
        return self.source.weights

    @property
    def parameter_count(self) -> int:
        """Return the number of the network's parameters."""
        return self.source.parameter_count

    @property
    def prefers_batching(self) -> bool:
        """Return whether batching is faster on this device without changing the emissions."""
        return self.device.prefers_batching and self.padding_invariant

    @property
    def padding_invariant(self) -> bool:
        """Return whether an utterance gets the same emissions padded in a batch as unbatched."""
        return self.frontend.masks and is_padding_invariant(self.config)

    def emissions(self, batch: AudioBatch) -> Emissions:
        """Return log-probabilities (B, F, V) of samples (B, T), in float32 on the host.

        Utterances share a forward pass only if that is faster and does not change the result, so
        the emissions of an utterance never depend on the rest of the batch.
        """
        if self.prefers_batching:
            return self._emit(batch)
        return join_emissions(self._emit(utterance) for utterance in split_batch(batch))

    def _emit(self, batch: AudioBatch) -> Emissions:
        log_probs = self._forward(self.frontend.prepare(batch))
        counts = (self.geometry.count_frames(int(length)) for length in batch.lengths)
        frames = np.fromiter(counts, dtype=np.int64, count=len(batch.lengths))
        return Emissions(log_probs, np.minimum(frames, log_probs.shape[1]), self.geometry.frame_s)

    def _forward(self, inputs: Mapping[str, torch.Tensor]) -> NDArray[np.float32]:
        import torch

        weights = next(self.network.parameters()).dtype
        # bf16 weights need no autocast, which would only cast norms back and forth.
        autocast_dtype = "fp32" if weights == torch_dtype(self.dtype) else self.dtype
        training = self.network.training
        if training:
            self.network.eval()
        with (
            self.device.inference_mode(),
            self.device.autocast(autocast_dtype),
            running(self.name),
        ):
            placed = {
                name: move_input(tensor, self.device, weights) for name, tensor in inputs.items()
            }
            logits = self.network(**placed).logits  # (B, F, V)
            log_probs = torch.log_softmax(logits.float(), dim=-1).cpu()
        if training:
            self.network.train()
        values: NDArray[np.float32] = log_probs.numpy()
        return values


def open_ctc_model(
    name: str, *, device: Device, dtype: str = "auto", language: str | None = None
) -> CtcModel:
    """Open a model for inference: it computes in `dtype` on `device`, without gradients.

    A network that the CPU engine covers is not loaded until it is used.

    Args:
        name: A model folder, a run folder, `demo`, or a hub id.
        device: Device to compute on.
        dtype: `auto`, `fp32`, `bf16` or `fp16`.
        language: Language adapter of a multilingual model (MMS), such as `deu`.

    Raises:
        DataError: The folder holds no CTC model, or one without a trained head.
        MachineError: The device does not support that dtype.
        UnreachableError: A hub id that is neither cached nor reachable.
    """
    chosen = device.choose_dtype(dtype)
    folder = find_model(name, language=language)
    if not has_trained_head(folder):
        task = other_task(folder.read_config())
        what = "pretrained only" if task is None else f"a model for {task}"
        raise DataError(
            f"{name} is {what}: it has no CTC head, so it cannot transcribe yet.",
            remedy=f"Fine-tune it first (gaudi-asr finetune-ctc --model {name} ...), or use a "
            "fine-tuned model such as facebook/wav2vec2-base-960h.",
        )
    source = _open_source(folder, language, device, chosen)
    vocabulary = read_vocabulary(folder.path, language=language)
    return replace(_assemble(source, vocabulary, folder, device, chosen), language=language)


def _open_source(
    folder: ModelFolder, language: str | None, device: Device, dtype: str
) -> NetworkSource:
    """Load the network, or defer what the CPU engine does not need: loading, else rounding."""
    on_cpu = device.torch_device.type == "cpu" and not device.prefers_batching
    stored = _read_stored(folder, language) if on_cpu else None
    if stored is not None:
        weights, config = stored
        return DeferredNetwork(
            lambda: _freeze(_load(folder, language), device, dtype), config, weights
        )
    network = _load(folder, language)
    config = network.config.to_dict()
    if not on_cpu or read_ctc_layout(config) is None:
        return NetworkSource(_freeze(network, device, dtype))
    return DeferredNetwork(partial(_freeze, network, device, dtype), config, weights_of(network))


def _read_stored(
    folder: ModelFolder, language: str | None
) -> tuple[NetworkWeights, dict[str, Any]] | None:
    """Return weights and configuration if the CPU engine needs no more than the files.

    Whatever is unusual about the folder is left to transformers and its messages.
    """
    config = folder.read_config()
    layout = read_ctc_layout(config)
    if layout is None or not has_known_ctc_fields(config):
        return None
    stored = read_weights(folder)
    if stored is None or not has_weights(stored, layout):
        return None
    if language is None:
        return stored, config
    path = adapter_path(folder.path, language)
    adapted = read_weights(folder, path) if layout.adapter and path.exists() else None
    if adapted is None or "lm_head.weight" not in adapted:
        return None
    columns = adapted.shape("lm_head.weight")[0]
    if not has_weights(adapted, replace(layout, columns=columns)):
        return None
    return adapted, {**config, "vocab_size": columns}


def _load(folder: ModelFolder, language: str | None) -> Any:
    network = load_network(folder, {})
    if language is not None:
        load_adapter(network, folder, language)
    return network


def _freeze(network: Any, device: Device, dtype: str) -> Any:
    """Prepare a network for inference on the device."""
    return device.place(network.to(torch_dtype(dtype)).eval().requires_grad_(False))


def assemble_ctc_model(
    network: Any, vocabulary: Vocabulary, folder: ModelFolder, device: Device, dtype: str
) -> CtcModel:
    """Place a network on its device and add the frontend and geometry of its folder."""
    return _assemble(NetworkSource(device.place(network)), vocabulary, folder, device, dtype)


def _assemble(
    source: NetworkSource, vocabulary: Vocabulary, folder: ModelFolder, device: Device, dtype: str
) -> CtcModel:
    config = source.config
    settings = read_settings(folder.path, config)
    geometry = geometry_from_config(config, read_rate(settings))
    return CtcModel(
        name=folder.name,
        source=source,
        vocabulary=fit_to_head(vocabulary, source.weights.shape(f"{head_of(config)}.weight")[0]),
        frontend=open_frontend(settings, config, geometry.minimum_samples),
        geometry=geometry,
        device=device,
        dtype=dtype,
    )


def fit_to_head(vocabulary: Vocabulary, columns: int) -> Vocabulary:
    """Return the vocabulary with exactly one token for each output of the head.

    Files often list `<s>` and `</s>` although the head has no outputs for them, or leave outputs
    unnamed; the latter never become text.

    Raises:
        DataError: The head has no output for a token that is text.
    """
    surplus = frozenset(range(columns, len(vocabulary.tokens)))
    if surplus - vocabulary.special or vocabulary.blank >= columns:
        raise DataError(
            f"The vocabulary has {len(vocabulary.tokens)} tokens, the model's head only "
            f"{columns} columns: they do not belong together.",
            remedy="Use the vocab.json that this model was trained with.",
        )
    unnamed = range(len(vocabulary.tokens), columns)
    return replace(
        vocabulary,
        tokens=(*vocabulary.tokens[:columns], *map(unused_token, unnamed)),
        special=(vocabulary.special - surplus) | frozenset(unnamed),
        unnamed=vocabulary.unnamed | frozenset(unnamed),
        unknown=None if vocabulary.unknown in surplus else vocabulary.unknown,
    )


def split_batch(batch: AudioBatch) -> Iterable[AudioBatch]:
    """Yield a batch of one for each utterance, without its padding."""
    for row, (utterance, length) in enumerate(zip(batch.utterances, batch.lengths, strict=True)):
        yield AudioBatch(
            utterances=(utterance,),
            samples=batch.samples[row : row + 1, : int(length)],
            lengths=batch.lengths[row : row + 1],
        )


def join_emissions(parts: Iterable[Emissions]) -> Emissions:
    """Join emissions into one batch (B, F, V); shorter ones are padded with zeros."""
    gathered = list(parts)
    if len(gathered) == 1:
        return gathered[0]
    width = max(part.log_probs.shape[1] for part in gathered)
    padded = [
        np.pad(part.log_probs, ((0, 0), (0, width - part.log_probs.shape[1]), (0, 0)))
        for part in gathered
    ]
    frames = np.concatenate([part.frames for part in gathered])
    return Emissions(np.concatenate(padded), frames, gathered[0].frame_s)


def move_input(tensor: torch.Tensor, device: Device, weights: torch.dtype) -> torch.Tensor:
    """Return the tensor on the device; floating point tensors in the dtype of the weights."""
    moved = tensor.to(device.torch_device)
    return moved.to(weights) if moved.is_floating_point() else moved

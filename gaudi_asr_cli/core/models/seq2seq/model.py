"""Encoder-decoder speech models, opened from a folder or the hub."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from gaudi_asr_cli.core.devices.base import Device, torch_dtype
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.json_files import read_json_object
from gaudi_asr_cli.core.models.contents import COPY_AGAIN, one_folder_up
from gaudi_asr_cli.core.models.cpu.whisper_layout import (
    has_known_whisper_fields,
    read_whisper_layout,
)
from gaudi_asr_cli.core.models.ctc.model import move_input
from gaudi_asr_cli.core.models.families import is_padding_invariant
from gaudi_asr_cli.core.models.features import Frontend, open_frontend, read_rate, read_settings
from gaudi_asr_cli.core.models.folder import ModelFolder, find_model
from gaudi_asr_cli.core.models.geometry import geometry_from_config
from gaudi_asr_cli.core.models.loading import load_network, outline_network, running
from gaudi_asr_cli.core.models.log_mel import LogMel, open_log_mel
from gaudi_asr_cli.core.models.network import DeferredNetwork, NetworkSource
from gaudi_asr_cli.core.models.own_code import own_code_error
from gaudi_asr_cli.core.models.quiet import name_reason, quiet_transformers
from gaudi_asr_cli.core.models.seq2seq.attempts import Attempts
from gaudi_asr_cli.core.models.seq2seq.fallback import generate_with_fallback
from gaudi_asr_cli.core.models.seq2seq.generation import (
    DEFAULT_GENERATION,
    Generation,
    resolve_generation,
)
from gaudi_asr_cli.core.models.seq2seq.generation_settings import read_generation_settings
from gaudi_asr_cli.core.models.seq2seq.old_whisper import complete_settings
from gaudi_asr_cli.core.models.seq2seq.sequences import SequenceReader
from gaudi_asr_cli.core.models.seq2seq.settings_check import check_settings
from gaudi_asr_cli.core.models.seq2seq.token_decoder import open_token_decoder
from gaudi_asr_cli.core.models.weights import NetworkWeights, read_weights
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ, AudioBatch, Generated

if TYPE_CHECKING:
    import torch

__all__ = ["Generation", "Seq2SeqModel", "open_seq2seq_model"]

DEFAULT_MAX_TOKENS = 225
"""Maximum tokens if neither user nor model sets one: 30 s of speech need fewer."""
TOKENIZER_FILES = ("tokenizer.json", "vocab.json", "vocab.txt", "*.model")

PLAIN_SEARCH = {
    "constraints": None,
    "diversity_penalty": 0.0,
    "dola_layers": None,
    "force_words_ids": None,
    "num_beam_groups": 1,
    "penalty_alpha": None,
}
"""Fields of a folder's generation_config.json that ask for another search than greedy or beam
search: transformers 5 has moved those searches into code on the hub, which is never run."""


@dataclass(frozen=True, slots=True)
class Seq2SeqModel:
    """An encoder-decoder network with its tokenizer and feature extraction.

    `network`, on `device`, is loaded when it is first used if `source` is deferred. `dtype` is the
    compute dtype; the weights may still be fp32 (training).
    """

    name: str
    source: NetworkSource
    tokenizer: Any
    frontend: Frontend | LogMel
    device: Device
    dtype: str
    folder: ModelFolder

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
    def settings(self) -> Any:
        """Return the network's generation configuration."""
        return self.source.generation_config

    def loaded(self) -> Seq2SeqModel:
        """Return the model with its network in memory."""
        return replace(self, source=NetworkSource(self.network))

    @property
    def padding_invariant(self) -> bool:
        """Return whether an utterance gives the same result padded in a batch as unbatched."""
        if isinstance(self.frontend, LogMel):
            return True
        encoder = self.config.get("encoder")
        return encoder is not None and self.frontend.masks and is_padding_invariant(encoder)

    @property
    def token_limit(self) -> int:
        """Return the decoder's context length in tokens, prompt included."""
        config = self.config
        decoder = config.get("decoder") or config
        names = ("max_target_positions", "max_position_embeddings", "n_positions")
        return next((int(decoder[name]) for name in names if decoder.get(name)), 1 << 20)

    def generate(
        self, batch: AudioBatch, generation_config: Generation = DEFAULT_GENERATION
    ) -> Generated:
        """Generate the hypotheses of a batch of samples (B, T).

        Raises:
            UsageError: The model does not support the language or the task.
        """
        return self.generate_from(self.frontend.prepare(batch), generation_config)

    def generate_from(
        self,
        inputs: Mapping[str, torch.Tensor],
        generation_config: Generation,
        frames: Sequence[int] | None = None,
    ) -> Generated:
        """Generate from the output of `frontend.prepare`, with transformers' own `generate`.

        Args:
            inputs: Inputs of the network.
            generation_config: Options of generation.
            frames: Lengths of the audio of each row in the encoder's frames, where the times of
                words are needed; only a Whisper has them.
        """
        resolved = resolve_generation(generation_config, self.settings, self.name)
        weights = next(self.network.parameters()).dtype
        # bf16 weights need no autocast, which would only cast norms back and forth.
        autocast_dtype = "fp32" if weights == torch_dtype(self.dtype) else self.dtype
        training = self.network.training
        if training:
            self.network.eval()
        with (
            quiet_transformers(),
            self.device.inference_mode(),
            self.device.autocast(autocast_dtype),
            running(self.name),
        ):
            placed = {
                name: move_input(tensor, self.device, weights) for name, tensor in inputs.items()
            }
            attempts = Attempts(self, placed, resolved)
            rows = generate_with_fallback(attempts, len(attempts), resolved.fallback)
            if frames is not None and self.is_whisper:
                rows = attempts.time_words(rows, frames)
        if training:
            self.network.train()
        return Generated(tuple(rows), attempts.first_token.seconds)

    def max_new_tokens(self, generation_config: Generation) -> int:
        """Return the maximum number of tokens after the prompt."""
        available = self.token_limit - len(self.reader.plan_prompt(generation_config))
        if generation_config.max_tokens is not None:
            return min(generation_config.max_tokens, available)
        configured = self.settings.max_new_tokens
        if self.is_whisper:
            return min(configured or available, available)
        max_length = self.settings.max_length
        # 20 is transformers' default, not a choice of the model's.
        default = max_length - 1 if max_length not in (None, 20) else DEFAULT_MAX_TOKENS
        return min(configured or default, available)

    @property
    def is_whisper(self) -> bool:
        """Return whether it is a Whisper: a prompt of language and task, windows of 30 s."""
        return self.config.get("model_type") == "whisper"

    @property
    def reader(self) -> SequenceReader:
        """Return the decoder of token ids to text and timestamps."""
        return SequenceReader.for_model(
            self.tokenizer, self.settings, whisper=self.is_whisper, context=self.token_limit
        )

    def encode_text(self, text: str) -> tuple[int, ...]:
        """Return the token ids of a text that precedes a transcript."""
        tokenizer = open_tokenizer(self.folder)
        return tuple(tokenizer(f" {text.strip()}", add_special_tokens=False)["input_ids"])

    def generate_arguments(self, generation_config: Generation) -> dict[str, Any]:
        """Return the arguments of transformers' `generate` for resolved options."""
        # A copy: transformers modifies the configuration it is given.
        settings = deepcopy(self.network.generation_config)
        settings.max_length = None
        settings.max_new_tokens = self.max_new_tokens(generation_config)
        settings.num_beams = generation_config.beams
        settings.do_sample = False
        # A model that was trained with gradient checkpointing keeps a False: correct, but slow.
        settings.use_cache = True
        for name, value in PLAIN_SEARCH.items():
            if getattr(settings, name, None):
                setattr(settings, name, value)
        if settings.pad_token_id is None:
            settings.pad_token_id = self.reader.pad_id
        arguments = {"generation_config": settings, **self.device.generation_arguments()}
        if not takes_static_cache(self.network):
            arguments.pop("cache_implementation", None)
        if not self.is_whisper:
            return arguments
        task = generation_config.task
        prompt: dict[str, Any] = {}
        if task:
            prompt = {"language": generation_config.language, "task": task}
        if previous := self.reader.plan_previous(generation_config.previous):
            import torch

            prompt["prompt_ids"] = torch.tensor(previous, device=self.device.torch_device)
        # `force_unique_generate_call`: one window per call; the prompt is returned with the text.
        return {
            **arguments,
            **prompt,
            "return_timestamps": generation_config.timestamps,
            "force_unique_generate_call": True,
        }


def open_seq2seq_model(name: str, *, device: Device, dtype: str = "auto") -> Seq2SeqModel:
    """Open a model for inference: weights in `dtype` on `device`, no gradients.

    Args:
        name: A model folder, a run folder, or a hub id.
        device: Device to compute on.
        dtype: `auto`, `fp32`, `bf16` or `fp16`.

    Raises:
        DataError: The folder holds no such model, or its decoder has no cross-attention.
        MachineError: The device does not support that dtype.
        UnreachableError: A hub id that is neither cached nor reachable.
    """
    chosen = device.choose_dtype(dtype)
    folder = find_model(name, kind="seq2seq")
    require_cross_attention(folder)
    load = partial(_load_frozen, folder, device, chosen)
    return _describe(_defer(folder, device, load) or NetworkSource(load()), folder, device, chosen)


def _defer(folder: ModelFolder, device: Device, load: Callable[[], Any]) -> DeferredNetwork | None:
    """Return the network of a Whisper, not loaded, if the CPU engine needs its weights only.

    Whatever is unusual about the folder is left to transformers and its messages.
    """
    config = folder.read_config()
    layout = read_whisper_layout(config)
    on_cpu = device.torch_device.type == "cpu" and not device.prefers_batching
    if layout is None or not on_cpu or not has_known_whisper_fields(config):
        return None
    settings = read_generation_settings(folder)
    if settings is None:
        return None
    complete_settings(settings, folder)
    stored = read_weights(folder)
    # A head of its own is not tied to the embeddings, as the layout has it.
    if stored is None or "proj_out.weight" in stored or not stored.have(layout.shapes()):
        return None
    return DeferredNetwork(load, config, stored, settings)


def _load_frozen(folder: ModelFolder, device: Device, dtype: str) -> Any:
    """Load a network for inference on the device."""
    network = load_network(folder, {}, kind="seq2seq")
    complete_whisper(network, folder)
    network.to(torch_dtype(dtype)).eval().requires_grad_(False)
    lay_out_states(network)
    placed = device.place(network)
    device.prepare_generation(placed)
    return placed


def outline_seq2seq_model(name: str) -> Seq2SeqModel:
    """Open a model without weights, for its configuration, tokenizer and features only.

    Raises:
        DataError: The folder holds no such model, or its decoder has no cross-attention.
        UnreachableError: A hub id that is neither cached nor reachable.
    """
    from gaudi_asr_cli.core.devices.cpu import open_cpu

    folder = find_model(name, kind="seq2seq")
    require_cross_attention(folder)
    network = outline_network(folder)
    complete_whisper(network, folder)
    return _describe(NetworkSource(network), folder, open_cpu(), "fp32")


def assemble_seq2seq_model(
    network: Any, folder: ModelFolder, device: Device, dtype: str
) -> Seq2SeqModel:
    """Place a network on its device and add the tokenizer and frontend of its folder.

    Raises:
        DataError: The folder holds no tokenizer that transformers can open.
    """
    lay_out_states(network)
    complete_whisper(network, folder)
    return _describe(NetworkSource(device.place(network)), folder, device, dtype)


def complete_whisper(network: Any, folder: ModelFolder) -> None:
    """Check the generation settings of a network; complete those of a Whisper in place."""
    if folder.read_config().get("model_type") == "whisper":
        complete_settings(network.generation_config, folder)
    else:
        check_settings(network.generation_config, folder)


def _describe(
    source: NetworkSource, folder: ModelFolder, device: Device, dtype: str
) -> Seq2SeqModel:
    deferred = isinstance(source, DeferredNetwork)
    return Seq2SeqModel(
        name=folder.name,
        source=source,
        tokenizer=(open_token_decoder(folder) if deferred else None) or open_tokenizer(folder),
        frontend=open_features(folder, source.config),
        device=device,
        dtype=dtype,
        folder=folder,
    )


def lay_out_states(network: Any) -> None:
    """Make the output of the encoder's adapter (B, F, D) contiguous, in place.

    Its convolutions return it transposed. If the decoder has the encoder's width there is no
    projection in between, and GPT-2 (wav2vec2-base with gpt2) fails on such a tensor (transformers
    5.23, `Conv1D`: `x.view`).
    """
    adapter = getattr(network.get_encoder(), "adapter", None)
    if adapter is not None:
        adapter.register_forward_hook(_make_contiguous)


def _make_contiguous(_: Any, __: Any, states: torch.Tensor) -> torch.Tensor:
    return states.contiguous()


def takes_static_cache(network: Any) -> bool:
    """Return whether the decoder supports a static KV cache: transformers 4.55 rejects some."""
    import transformers

    major = int(transformers.__version__.partition(".")[0])
    return major >= 5 or bool(getattr(network, "_can_compile_fullgraph", False))


def open_tokenizer(folder: ModelFolder) -> Any:
    """Open the tokenizer of a folder.

    Raises:
        DataError: There is none, or it needs a package that is not installed, or its own code.
    """
    from transformers import AutoTokenizer

    remedy = (
        "Copy the tokenizer files (tokenizer.json, tokenizer_config.json, vocab.json, "
        "merges.txt) into the model folder."
    )
    # transformers 5 would build an empty tokenizer if there are no files.
    if not any(path for name in TOKENIZER_FILES for path in folder.path.glob(name)):
        above = one_folder_up(folder.path, TOKENIZER_FILES)
        raise DataError(
            f"{folder.name} has no tokenizer"
            + ("." if above is None else f"; there is one in {above.parent}, one folder up."),
            remedy=remedy,
        )
    try:
        with quiet_transformers():
            return AutoTokenizer.from_pretrained(
                folder.path, local_files_only=True, trust_remote_code=False
            )
    except Exception as error:  # tokenizers raises no narrower class
        if "auto_map" in _read_tokenizer_settings(folder):
            raise own_code_error(folder.name, "its tokenizer") from error
        raise DataError(
            f"transformers cannot open the tokenizer of {folder.name}: {name_reason(error)}",
            remedy=remedy,
        ) from error


def _read_tokenizer_settings(folder: ModelFolder) -> dict[str, Any]:
    path = folder.path / "tokenizer_config.json"
    return read_json_object(path, remedy=COPY_AGAIN) if path.exists() else {}


def open_features(folder: ModelFolder, config: Mapping[str, Any]) -> Frontend | LogMel:
    """Open the feature extraction that precedes the encoder."""
    encoder = config.get("encoder") or config
    if config.get("model_type") == "whisper":
        settings = read_settings(folder.path, config)
        if read_rate(settings) != SAMPLE_RATE_HZ:
            raise DataError(
                f"{folder.name}: sampling_rate in preprocessor_config.json is "
                f"{settings['sampling_rate']} Hz; a Whisper receives {SAMPLE_RATE_HZ} Hz.",
                remedy="Set sampling_rate to 16000; audio of any rate is resampled.",
            )
        frames = 2 * int(config.get("max_source_positions", 1500))
        usual = {"feature_size": int(config.get("num_mel_bins", 80)), "chunk_length": frames // 100}
        mel = open_log_mel(settings if "hop_length" in settings else usual)
        received = (len(mel.filters), mel.window_frames)
        if received != (usual["feature_size"], frames):
            raise DataError(
                f"{folder.name}: preprocessor_config.json gives {received[0]} mel bins and "
                f"{received[1]} frames; the network receives {usual['feature_size']} and {frames}.",
                remedy="Copy the preprocessor_config.json that came with the weights.",
            )
        return mel
    settings = read_settings(folder.path, encoder)
    geometry = geometry_from_config(encoder, read_rate(settings))
    return open_frontend(settings, encoder, geometry.minimum_samples)


def require_cross_attention(folder: ModelFolder) -> None:
    """Check that the decoder attends to the encoder.

    Raises:
        DataError: The decoder has no cross-attention.
    """
    config = folder.read_config()
    decoder = config.get("decoder")
    if config.get("model_type") != "speech-encoder-decoder" or not isinstance(decoder, dict):
        return
    if not decoder.get("add_cross_attention"):
        raise DataError(
            f"The decoder of {folder.name} has no cross-attention, so it ignores the encoder: its "
            "output would not depend on the audio.",
            remedy="Create the model with gaudi-asr create-seq2seq, which adds it; or set "
            "decoder.add_cross_attention in config.json if the weights are there.",
        )

"""Tiny random checkpoints of every family, built from configuration classes: no network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from gaudi_asr_cli.core.models.families import head_of
from gaudi_asr_cli.core.models.features import default_settings
from gaudi_asr_cli.core.models.quiet import quiet_transformers
from gaudi_asr_cli.core.records import AudioBatch, AudioSpan, Utterance, Vocabulary
from gaudi_asr_cli.core.text.vocabulary import build_vocabulary, write_tokenizer_files

TINY: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 20,
    "conv_dim": (8, 8, 8),
    "conv_kernel": (10, 3, 3),
    "conv_stride": (5, 4, 4),
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
    # A short test clip has fewer frames than one usual mask of ten.
    "mask_time_length": 2,
}
LAYER_NORM = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
BERT = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 20,
    "feature_projection_input_dim": 160,
    "output_hidden_size": 16,
    "mask_time_length": 2,
}

FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "wav2vec2": ("Wav2Vec2", TINY),
    "wav2vec2-layer-norm": ("Wav2Vec2", {**TINY, **LAYER_NORM}),
    "wav2vec2-adapter": (
        "Wav2Vec2",
        {**TINY, **LAYER_NORM, "add_adapter": True, "num_adapter_layers": 2},
    ),
    "mms": ("Wav2Vec2", {**TINY, **LAYER_NORM, "adapter_attn_dim": 4}),
    "hubert": ("Hubert", TINY),
    "hubert-layer-norm": ("Hubert", {**TINY, **LAYER_NORM}),
    "wavlm": ("WavLM", TINY),
    "wavlm-layer-norm": ("WavLM", {**TINY, **LAYER_NORM}),
    "sew": ("SEW", {**TINY, "squeeze_factor": 2}),
    "sew-d": (
        "SEWD",
        {**TINY, "squeeze_factor": 2, "position_buckets": 8, "max_position_embeddings": 64},
    ),
    "unispeech": ("UniSpeech", TINY),
    "unispeech-layer-norm": ("UniSpeech", {**TINY, **LAYER_NORM}),
    "unispeech-sat": ("UniSpeechSat", TINY),
    "data2vec-audio": ("Data2VecAudio", {**TINY, "num_conv_pos_embeddings": 2}),
    "wav2vec2-conformer": ("Wav2Vec2Conformer", TINY),
    "wav2vec2-bert": ("Wav2Vec2Bert", BERT),
    "wav2vec2-bert-adapter": (
        "Wav2Vec2Bert",
        {**BERT, "add_adapter": True, "num_adapter_layers": 1},
    ),
}
"""Case name -> prefix of transformers' classes, configuration fields."""
CONFORMER = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 20,
    "num_mel_bins": 16,
    "subsampling_conv_channels": 8,
    # Layers that are dropped at random would make the losses of training depend on the seed.
    "layerdrop": 0.0,
}
GRANITE = {
    **{key: one for key, one in CONFORMER.items() if key != "layerdrop"},
    "context_size": 8,
    "max_position_embeddings": 16,
}
NEW_FAMILIES = {
    "parakeet": ("Parakeet", CONFORMER),
    "lasr": ("Lasr", CONFORMER),
    "granite": ("GraniteSpeech5", GRANITE),
}
"""Families that transformers 4.55 does not have; their encoder has a configuration of its own."""
FAMILIES |= {
    name: (prefix, {"encoder_config": encoder})
    for name, (prefix, encoder) in NEW_FAMILIES.items()
    if hasattr(transformers, f"{prefix}ForCTC")
}


def tiny_vocabulary(letters: str = "abcdefghij") -> Vocabulary:
    return build_vocabulary(dict.fromkeys(letters, 1))


def build_tiny_network(
    family: str, vocabulary: Vocabulary | None = None, *, head: bool = True, seed: int = 0
) -> Any:
    """Build a network of a family in evaluation mode; without `head` only the pretrained part.

    The head has large weights, so that frames differ clearly and are not all blank.
    """
    vocabulary = tiny_vocabulary() if vocabulary is None else vocabulary
    prefix, fields = FAMILIES[family]
    config_name = "CTCConfig" if "encoder_config" in fields else "Config"
    if family == "granite":
        # Its encoder predicts tokens as well.
        encoder = {**fields["encoder_config"], "vocab_size": len(vocabulary.tokens)}
        fields = {**fields, "encoder_config": encoder}
    config = getattr(transformers, prefix + config_name)(
        **fields, vocab_size=len(vocabulary.tokens), pad_token_id=vocabulary.blank
    )
    with quiet_transformers(), torch.random.fork_rng():
        torch.manual_seed(seed)
        network = getattr(transformers, f"{prefix}{'ForCTC' if head else 'Model'}")(config).eval()
        if "encoder_config" in fields:
            # These start with weights so small that every frame is alike.
            for weight in network.parameters():
                if weight.dim() > 1:
                    weight.data.normal_(std=0.5)
        if head:
            getattr(network, head_of(config.to_dict())).weight.data.normal_(std=1.0)
    return network


def save_tiny_model(
    directory: Path, family: str = "wav2vec2", *, letters: str = "abcdefghij", head: bool = True
) -> Path:
    """Save a checkpoint like those on the hub: weights, config, tokenizer, feature extractor."""
    vocabulary = tiny_vocabulary(letters)
    network = build_tiny_network(family, vocabulary, head=head)
    with quiet_transformers():
        network.save_pretrained(directory)
        settings = default_settings(network.config.to_dict())
        if family == "granite":
            # transformers' class needs torchaudio.
            text = json.dumps(settings)
            (directory / "preprocessor_config.json").write_text(text)
        else:
            kind = getattr(transformers, settings["feature_extractor_type"])
            kind.from_dict(dict(settings)).save_pretrained(directory)
    if head:
        write_tokenizer_files(vocabulary, directory)
    return directory


def make_batch(lengths_samples: Sequence[int], *, seed: int = 0) -> AudioBatch:
    """Return a batch of noise of these lengths, padded with zeros to the longest."""
    random = np.random.default_rng(seed)
    samples = np.zeros((len(lengths_samples), max(lengths_samples)), dtype=np.float32)
    for row, length in enumerate(lengths_samples):
        samples[row, :length] = 0.1 * random.standard_normal(length)
    utterances = tuple(
        Utterance(f"noise-{row}", AudioSpan(Path(f"noise-{row}.wav")))
        for row in range(len(lengths_samples))
    )
    return AudioBatch(utterances, samples, np.array(lengths_samples, dtype=np.int64))

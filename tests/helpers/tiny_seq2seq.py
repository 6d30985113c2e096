"""Tiny random encoder-decoder checkpoints, built without a network connection."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from helpers.tiny_models import LAYER_NORM, TINY

from gaudi_asr_cli.core.models.quiet import quiet_transformers

WINDOW_S = 2
"""Whisper's window is 30 s; a short one is faster."""
LANGUAGES = ("en", "hi", "de", "zh")
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
BASE: dict[str, Any] = {
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "num_mel_bins": 16,
    "max_source_positions": 50 * WINDOW_S,
    "max_target_positions": 48,
}


def write_whisper_tokenizer(directory: Path, words: Sequence[str] = DIGITS) -> dict[str, int]:
    """Write a byte-level tokenizer with Whisper's special tokens and a token for each word.

    Returns the ids of the special tokens.
    """
    directory.mkdir(parents=True, exist_ok=True)
    tokens = [*_bytes_to_unicode()]
    merges = []
    for word in words:
        piece = "Ġ"
        for letter in word:
            if piece + letter not in tokens:
                tokens.append(piece + letter)
                merges.append(f"{piece} {letter}")
            piece += letter
    special = [
        "<|endoftext|>",
        "<|startoftranscript|>",
        *(f"<|{one}|>" for one in LANGUAGES),
        "<|translate|>",
        "<|transcribe|>",
        "<|startoflm|>",
        "<|startofprev|>",
        "<|nospeech|>",
        "<|notimestamps|>",
    ]
    times = [f"<|{0.02 * step:.2f}|>" for step in range(50 * WINDOW_S + 1)]
    ids = {token: len(tokens) + index for index, token in enumerate([*special, *times])}
    (directory / "vocab.json").write_text(json.dumps({one: i for i, one in enumerate(tokens)}))
    (directory / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{m}\n" for m in merges))
    added = {
        str(number): {
            "content": token,
            "lstrip": False,
            "normalized": token in times,
            "rstrip": False,
            "single_word": False,
            "special": token not in times,
        }
        for token, number in ids.items()
    }
    settings = {
        "tokenizer_class": "WhisperTokenizer",
        "added_tokens_decoder": added,
        "additional_special_tokens": special[1:],
        "bos_token": special[0],
        "eos_token": special[0],
        "pad_token": special[0],
        "unk_token": special[0],
        "model_max_length": BASE["max_target_positions"],
    }
    (directory / "tokenizer_config.json").write_text(json.dumps(settings))
    return ids


def save_tiny_whisper(
    directory: Path, *, multilingual: bool = True, seed: int = 0, **fields: Any
) -> Path:
    """Save a checkpoint like those on the hub: weights, configs, tokenizer, feature extractor."""
    ids = write_whisper_tokenizer(directory)
    end = ids["<|endoftext|>"]
    config = transformers.WhisperConfig(
        **{**BASE, **fields},
        vocab_size=max(ids.values()) + 1,
        pad_token_id=end,
        bos_token_id=end,
        eos_token_id=end,
        decoder_start_token_id=ids["<|startoftranscript|>"],
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    with quiet_transformers(), torch.random.fork_rng():
        torch.manual_seed(seed)
        network = transformers.WhisperForConditionalGeneration(config).eval()
        draw_varied_weights(network, ids["<|0.00|>"])
        network.generation_config = whisper_generation(ids, multilingual=multilingual)
        network.save_pretrained(directory)
        transformers.WhisperFeatureExtractor(
            feature_size=config.num_mel_bins, chunk_length=WINDOW_S
        ).save_pretrained(directory)
    return directory


def whisper_generation(ids: dict[str, int], *, multilingual: bool = True) -> Any:
    """Return a generation configuration like those on the hub."""
    end = ids["<|endoftext|>"]
    languages = {
        "is_multilingual": True,
        "lang_to_id": {f"<|{one}|>": ids[f"<|{one}|>"] for one in LANGUAGES},
        "task_to_id": {one: ids[f"<|{one}|>"] for one in ("transcribe", "translate")},
    }
    return transformers.GenerationConfig(
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
        decoder_start_token_id=ids["<|startoftranscript|>"],
        no_timestamps_token_id=ids["<|notimestamps|>"],
        prev_sot_token_id=ids["<|startofprev|>"],
        max_initial_timestamp_index=20,
        max_length=BASE["max_target_positions"],
        return_timestamps=False,
        suppress_tokens=[1, 7, ids["<|startoflm|>"], ids["<|startofprev|>"], ids["<|nospeech|>"]],
        begin_suppress_tokens=[ord(" "), end],
        **(languages if multilingual else {"is_multilingual": False}),
    )


def draw_varied_weights(network: Any, first_time: int | None = None) -> None:
    """Draw weights for which texts depend on the audio, and timestamps appear only on request."""
    for name, weight in network.named_parameters():
        if weight.dim() > 1 and "embed_positions" not in name:
            weight.data.normal_(std=0.05 if "embed_tokens" in name else 0.5)
        elif "layer_norm.weight" in name and "decoder" in name:
            weight.data.normal_(mean=1.0, std=0.5)
    network.get_decoder().embed_positions.weight.data.normal_(std=0.3)
    if first_time is not None:
        network.get_decoder().embed_tokens.weight.data[first_time:] *= 0.2


def _bytes_to_unicode() -> Sequence[str]:
    """Return GPT-2's printable character for each byte."""
    plain = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    return [*map(chr, plain), *(chr(256 + index) for index in range(len(others)))]


def write_plain_tokenizer(directory: Path) -> Any:
    """Write a tokenizer of letters and spaces with BART's `<s>`, `</s>` and `<pad>`."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    special = ["<s>", "<pad>", "</s>", "<unk>"]
    tokens = {token: index for index, token in enumerate([*special, "▁", *"abcdefghijklmnopqrst"])}
    tokenizer = Tokenizer(models.BPE(vocab=tokens, merges=[], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
    )
    fast.save_pretrained(directory)
    return fast


SEQ2SEQ_FAMILIES = ("moonshine", "speech_to_text", "speech-encoder-decoder")


def save_tiny_seq2seq(directory: Path, family: str, seed: int = 0) -> Path:
    """Save a random checkpoint of one of `SEQ2SEQ_FAMILIES`."""
    tokenizer = write_plain_tokenizer(directory)
    with quiet_transformers(), torch.random.fork_rng():
        torch.manual_seed(seed)
        network = _build_network(family, len(tokenizer))
        for name, weight in network.named_parameters():
            if weight.dim() > 1 and "positions" not in name and "conv" not in name:
                weight.data.normal_(std=0.4)
        network.generation_config.update(
            decoder_start_token_id=0, bos_token_id=0, pad_token_id=1, eos_token_id=2
        )
        network.save_pretrained(directory)
        _feature_extractor(family).save_pretrained(directory)
    return directory


def _feature_extractor(family: str) -> Any:
    if family == "speech_to_text":
        return transformers.Speech2TextFeatureExtractor(feature_size=16, num_mel_bins=16)
    return transformers.Wav2Vec2FeatureExtractor(
        do_normalize=family != "moonshine", return_attention_mask=True
    )


def _build_network(family: str, tokens: int) -> Any:
    special = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 0}
    if family == "moonshine":
        config = transformers.MoonshineConfig(
            vocab_size=tokens,
            hidden_size=16,
            intermediate_size=32,
            encoder_num_hidden_layers=1,
            decoder_num_hidden_layers=2,
            encoder_num_attention_heads=2,
            decoder_num_attention_heads=2,
            max_position_embeddings=64,
            **special,
        )
        return transformers.MoonshineForConditionalGeneration(config).eval()
    if family == "speech_to_text":
        config = transformers.Speech2TextConfig(
            **{**BASE, "vocab_size": tokens},
            input_feat_per_channel=16,
            conv_channels=16,
            num_conv_layers=2,
            **{**special, "decoder_start_token_id": 2},
        )
        config.max_source_positions = 1000
        return transformers.Speech2TextForConditionalGeneration(config).eval()
    encoder = transformers.Wav2Vec2Config(**TINY, **LAYER_NORM)
    decoder = transformers.BartConfig(
        vocab_size=tokens,
        d_model=16,
        decoder_layers=2,
        decoder_attention_heads=2,
        decoder_ffn_dim=32,
        max_position_embeddings=64,
        is_decoder=True,
        add_cross_attention=True,
        **special,
    )
    config = transformers.SpeechEncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)
    config.update(special)
    return transformers.SpeechEncoderDecoderModel(config=config).eval()

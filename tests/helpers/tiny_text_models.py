"""Tiny text models with a word tokenizer, as decoders for create-seq2seq."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers

from gaudi_asr_cli.core.models.quiet import quiet_transformers

WORDS = ("one", "two", "three", "four", "see", "off")
SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
TINY: dict[str, dict[str, Any]] = {
    "Bart": {
        "d_model": 16, "encoder_layers": 1, "decoder_layers": 2, "encoder_attention_heads": 2,
        "decoder_attention_heads": 2, "encoder_ffn_dim": 20, "decoder_ffn_dim": 20,
        "max_position_embeddings": 24,
    },
    "Bert": {
        "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 20, "max_position_embeddings": 24,
    },
    "GPT2": {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 24},
    "Llama": {
        "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 20, "max_position_embeddings": 24,
    },
}  # fmt: skip
CLASSES = {
    "Bart": "BartForConditionalGeneration",
    "Bert": "BertForMaskedLM",
    "GPT2": "GPT2LMHeadModel",
    "Llama": "LlamaForCausalLM",
}
"""Classes of checkpoints on the hub, not those that a decoder is opened with."""


def save_word_tokenizer(
    directory: Path, words: Sequence[str] = WORDS, *, pads: bool = True, wraps: bool = True
) -> int:
    """Save a tokenizer with a token for each word; `wraps` adds `<s>` and `</s>`, like BART's.

    Returns the number of tokens.
    """
    special = [token for token in SPECIAL if pads or token != "<pad>"]
    ids = {token: number for number, token in enumerate([*special, *words])}
    inner = tokenizers.Tokenizer(tokenizers.models.WordLevel(ids, unk_token="<unk>"))
    inner.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    if wraps:
        inner.post_processor = tokenizers.processors.TemplateProcessing(
            single="<s> $A </s>", special_tokens=[(one, ids[one]) for one in ("<s>", "</s>")]
        )
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, **names, **({"pad_token": "<pad>"} if pads else {})
    ).save_pretrained(directory)
    return len(ids)


def save_tiny_text_model(
    directory: Path, family: str = "Bart", *, words: Sequence[str] = WORDS, **tokenizer: bool
) -> Path:
    """Save a checkpoint like those on the hub: weights, configuration, tokenizer."""
    directory.mkdir(parents=True, exist_ok=True)
    tokens = save_word_tokenizer(directory, words, **tokenizer)
    config = getattr(transformers, f"{family}Config")(
        **TINY[family], vocab_size=tokens, bos_token_id=0, pad_token_id=1, eos_token_id=2
    )
    with quiet_transformers(), torch.random.fork_rng():
        torch.manual_seed(0)
        getattr(transformers, CLASSES[family])(config).save_pretrained(directory)
    return directory

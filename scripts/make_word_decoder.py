#!/usr/bin/env python
"""Make a small BART of random weights with a token for each word: a decoder without a download.

scripts/make_word_decoder.py MANIFEST... --out DIR [--width 96] [--layers 2]

For data with few words (digits, commands): other text needs a pretrained decoder with subwords.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from gaudi_asr_cli.core.models.quiet import quiet_transformers
from gaudi_asr_cli.core.models.seq2seq.subwords import save_tokenizer

SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")


def main() -> None:
    """Read the words, and write model and tokenizer."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("manifest", nargs="+", type=Path, help="JSON lines with `text`")
    parser.add_argument("--out", type=Path, required=True, help="a new folder")
    parser.add_argument("--width", type=int, default=96)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    words = read_words(arguments.manifest)
    arguments.out.mkdir(parents=True)
    with quiet_transformers():
        save_tokenizer(word_tokenizer(words), arguments.out)
        torch.manual_seed(arguments.seed)
        tokens = len(SPECIAL) + len(words)
        bart(tokens, arguments.width, arguments.layers).save_pretrained(arguments.out)
    print(f"{arguments.out}: {len(words)} words, {arguments.layers} layers of {arguments.width}")


def read_words(manifests: list[Path]) -> list[str]:
    """Return every word of the texts in lower case."""
    lines = [json.loads(line) for path in manifests for line in path.open(encoding="utf-8")]
    return sorted({word for line in lines for word in line["text"].lower().split()})


def word_tokenizer(words: list[str]) -> transformers.PreTrainedTokenizerFast:
    """Return a tokenizer with a token per word, and `<s>` and `</s>` around a text as in BART."""
    ids = {token: number for number, token in enumerate([*SPECIAL, *words])}
    inner = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    inner.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[(one, ids[one]) for one in ("<s>", "</s>")]
    )
    start, pad, end, unknown = SPECIAL
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token=start, pad_token=pad, eos_token=end, unk_token=unknown
    )


def bart(tokens: int, width: int, layers: int) -> transformers.BartForConditionalGeneration:
    """Return a BART with random weights; create-seq2seq only uses its decoder."""
    config = transformers.BartConfig(
        vocab_size=tokens,
        d_model=width,
        encoder_layers=1,
        decoder_layers=layers,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=4 * width,
        decoder_ffn_dim=4 * width,
        max_position_embeddings=64,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
    )
    return transformers.BartForConditionalGeneration(config)


if __name__ == "__main__":
    main()

"""Tiny random CTC models of subwords, in folders as transformers' own conversion writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from helpers.tiny_corpus import WORDS
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

SENTENCES = ("one two three four see off", "some nonsense of tours", "the worn fort, so few throw")


def train_tokenizer(*, unigram: bool = False, blank: str = "<pad>") -> Tokenizer:
    """Train subwords on a few sentences; as in Parakeet the blank is the last of the tokens."""
    trained = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=44, special_tokens=["<unk>"], show_progress=False)
    trained.train_from_iterator([*SENTENCES, *WORDS] * 3, trainer)
    # Not trained: its trainer orders subwords of the same score at random.
    tokenizer = Tokenizer(_as_unigram(trained)) if unigram else trained
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens([AddedToken(blank, normalized=False, special=True)])
    return tokenizer


def _as_unigram(trained: Tokenizer) -> models.Unigram:
    pieces = sorted(trained.get_vocab(), key=trained.get_vocab().__getitem__)
    return models.Unigram([(piece, -1.0 / len(piece)) for piece in pieces], unk_id=0)


def write_subwords(directory: Path, tokenizer: Tokenizer, *, blank: str = "<pad>") -> Path:
    """Write tokenizer.json and tokenizer_config.json, and no vocab.json."""
    directory.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(directory / "tokenizer.json"))
    settings = {
        "tokenizer_class": "ParakeetTokenizer",
        "pad_token": blank,
        "unk_token": "<unk>",
        "clean_up_tokenization_spaces": False,
    }
    (directory / "tokenizer_config.json").write_text(json.dumps(settings))
    return directory


def balance_tokens(network: Any) -> None:
    """Subtract from each token its mean logit on noise, so that no token wins everywhere."""
    import torch
    from helpers.tiny_models import make_batch

    from gaudi_asr_cli.core.models.features import default_settings, open_frontend

    config = network.config.to_dict()
    noise = open_frontend(default_settings(config), config, 1).prepare(make_batch([80_000]))
    with torch.inference_mode():
        network.ctc_head.bias.data -= network(**noise).logits.mean(dim=(0, 1))


def save_subword_model(directory: Path, family: str) -> Path:
    """Save a model of a new family whose vocabulary is subwords.

    Parakeet's folder is what `ParakeetProcessor.save_pretrained` writes.
    """
    import transformers
    from helpers.tiny_models import build_tiny_network, save_tiny_model

    from gaudi_asr_cli.core.models.quiet import quiet_transformers
    from gaudi_asr_cli.core.text.vocabulary import read_vocabulary

    save_tiny_model(directory, family)
    (directory / "vocab.json").unlink()
    (directory / "special_tokens_map.json").unlink()
    tokenizer = train_tokenizer(unigram=family == "lasr")
    write_subwords(directory, tokenizer)
    with quiet_transformers():
        network = build_tiny_network(family, read_vocabulary(directory))
        balance_tokens(network)
        network.save_pretrained(directory)
        if family == "parakeet":
            (directory / "preprocessor_config.json").unlink()
            transformers.ParakeetProcessor(
                transformers.ParakeetFeatureExtractor(feature_size=16),
                transformers.ParakeetTokenizer(
                    tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>"
                ),
                decoder_type="ctc",
            ).save_pretrained(directory)
    return directory

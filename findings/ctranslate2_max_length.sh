#!/usr/bin/env bash
# CTranslate2 4.8.5: `Whisper.generate(max_length=N)` generates at most N/2 tokens, not N.
#
# Its docstring says of max_length: "Maximum generation length." What is done is min(N / 2, N + 1 - len(prompt)): half of
# N, however short the prompt is. Whoever sets max_length to the number of tokens that another engine may generate, as a
# benchmark does, has CTranslate2 do half the work. A checkpoint's own limit of 448 is meant so (OpenAI's reference
# samples n_text_ctx / 2 tokens), but any value that is passed is halved too.
#
# Seen on 2026-11-29 with ctranslate2 4.8.5, transformers 5.23.0, torch 2.13.0 (CPU), Python 3.11:
#   max_length 20 -> 10 tokens
#   max_length 64 -> 32 tokens
#   max_length 128 -> 64 tokens
#   prompt of 24 tokens, max_length 32 -> 9 tokens
#   as seen before: half of max_length, or what the prompt leaves of it
#
# A random Whisper of one layer, converted by ctranslate2's own converter; gaudi-asr takes no part. Needs uv or pip, and
# PyPI; writes into a temporary folder. Exits with 1 if the behaviour has changed.
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/venv"
"$scratch/venv/bin/python" -m pip install -q --disable-pip-version-check \
  "ctranslate2==4.8.5" "transformers==5.23.0" "torch==2.13.0" "numpy<3"
cd "$scratch"
"$scratch/venv/bin/python" - <<'PYTHON'
import json
import pathlib
import sys

import ctranslate2
import numpy as np
import torch
import transformers

TEXT = 50_257  # ids of text come first, as in Whisper; the end token is the first special one
special = ["<|endoftext|>", "<|startoftranscript|>", "<|en|>", *(f"<|x{n}|>" for n in range(98)), "<|translate|>",
           "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>",
           *(f"<|{0.02 * n:.2f}|>" for n in range(1501))]
ids = {token: TEXT + place for place, token in enumerate(special)}
model = pathlib.Path("model")
model.mkdir()
(model / "vocab.json").write_text(json.dumps({f"Ġw{n}": n for n in range(TEXT)}))
(model / "merges.txt").write_text("#version: 0.2\n")
marks = dict.fromkeys(("bos_token", "eos_token", "pad_token", "unk_token"), special[0])
added = {str(number): {"content": token, "special": True} for token, number in ids.items()}
(model / "tokenizer_config.json").write_text(
    json.dumps({"tokenizer_class": "WhisperTokenizer", "added_tokens_decoder": added, **marks}))
torch.manual_seed(0)
config = transformers.WhisperConfig(
    d_model=64, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2,
    encoder_ffn_dim=64, decoder_ffn_dim=64, vocab_size=TEXT + len(special), decoder_start_token_id=ids[special[1]],
    pad_token_id=TEXT, bos_token_id=TEXT, eos_token_id=TEXT, suppress_tokens=None, begin_suppress_tokens=None)
network = transformers.WhisperForConditionalGeneration(config).eval()
network.model.decoder.embed_tokens.weight.data[TEXT:] = 0  # the end is never the likeliest
network.model.decoder.embed_positions.weight.data.normal_(std=0.3)  # nor one word for ever
network.generation_config = transformers.GenerationConfig(
    eos_token_id=TEXT, pad_token_id=TEXT, bos_token_id=TEXT, decoder_start_token_id=ids[special[1]], is_multilingual=True,
    no_timestamps_token_id=ids["<|notimestamps|>"], lang_to_id={"<|en|>": ids["<|en|>"]},
    task_to_id={"transcribe": ids["<|transcribe|>"]}, max_length=448, suppress_tokens=[TEXT + 1])
network.save_pretrained(model)
ctranslate2.converters.TransformersConverter(str(model)).convert("converted")

whisper = ctranslate2.models.Whisper("converted", compute_type="float32", intra_threads=1)
features = ctranslate2.StorageView.from_array(np.random.default_rng(0).standard_normal((1, 80, 3000), dtype=np.float32))
prompt = [ids[token] for token in ("<|startoftranscript|>", "<|en|>", "<|transcribe|>", "<|notimestamps|>")]


def generated(prompt: list[int], max_length: int) -> int:
    found = whisper.generate(features, [prompt], beam_size=1, max_length=max_length, suppress_tokens=[TEXT + 1])
    return len(found[0].sequences_ids[0])


counts = {length: generated(prompt, length) for length in (20, 64, 128)}
for length, count in counts.items():
    print(f"max_length {length} -> {count} tokens")
long = generated([ids["<|startofprev|>"], *range(100, 119), *prompt], 32)
print(f"prompt of 24 tokens, max_length 32 -> {long} tokens")
as_before = counts == {20: 10, 64: 32, 128: 64} and long == 9
print("as seen before: half of max_length, or what the prompt leaves of it" if as_before else "CHANGED")
sys.exit(not as_before)
PYTHON

#!/usr/bin/env bash
# Beam search of transformers repeats the rows of the caller's encoder output: a second `generate` from it returns other rows.
#
# Seen with transformers 5.23.0 and torch 2.13.0 on a CPU, a Whisper of random weights, two clips encoded once:
#   generate(encoder_outputs=encoded, num_beams=1)   2 rows, frames (2, 1500, 32) afterwards
#   the same with num_beams=3                        2 rows, frames (6, 1500, 32) afterwards
#   the same again                                   6 rows, of which the second is that of the first clip; frames (18, 1500, 32)
# `generate` replaces the frames in the object that it was given by frames repeated for each beam. The same happens to what the
# encoder itself returns, which a forward hook sees: whoever takes row i of it after a beam search has row i // num_beams.
# Passing a copy, `type(encoded)(**encoded)`, leaves the original as it is.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.13.0 numpy==2.2.6 transformers==5.23.0
cat > "$folder/beams.py" <<'PYTHON'
import torch
import transformers
from transformers import GenerationConfig, WhisperConfig, WhisperForConditionalGeneration

transformers.logging.set_verbosity_error()
torch.manual_seed(0)
sizes = dict(d_model=32, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2)
sizes |= dict(encoder_ffn_dim=32, decoder_ffn_dim=32, vocab_size=100, max_target_positions=16)
ids = dict(pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=3)
config = WhisperConfig(**sizes, **ids, suppress_tokens=None, begin_suppress_tokens=None)
model = WhisperForConditionalGeneration(config).eval()
model.generation_config = GenerationConfig(**ids, max_new_tokens=6)
# Frames decide what a random decoder generates only if they are large.
clips = 3 * torch.randn(2, 80, 3000, generator=torch.Generator().manual_seed(1))
print("transformers", transformers.__version__, "torch", torch.__version__)


def encode():
    encoded = model.get_encoder()(clips)
    encoded.last_hidden_state[1] *= -8
    return encoded


with torch.no_grad():
    encoded, seen = encode(), []
    for beams in (1, 3, 3):
        rows = model.generate(encoder_outputs=encoded, num_beams=beams).tolist()
        seen.append((len(rows), tuple(encoded.last_hidden_state.shape)))
        print(f"num_beams={beams}: {len(rows)} rows, frames {seen[-1][1]} afterwards")
    assert seen == [(2, (2, 1500, 32)), (2, (6, 1500, 32)), (6, (18, 1500, 32))]
    expected = model.generate(encoder_outputs=encode(), num_beams=3).tolist()
    print("the clips:", expected, "the first two rows of the last call:", rows[:2])
    assert expected[0] != expected[1] and rows[:2] == [expected[0], expected[0]]
    encoded = encode()
    model.generate(encoder_outputs=type(encoded)(**encoded), num_beams=3)
    assert encoded.last_hidden_state.shape == (2, 1500, 32)
PYTHON
"$folder/venv/bin/python" -W ignore "$folder/beams.py"

#!/usr/bin/env bash
# What follows a short clip in Whisper's window of 30 s: zeros in openai-whisper, silence in transformers.
#
# Seen with openai-whisper 20250625, transformers 5.23.0, torch 2.13.0, a tone of 3 s:
#   openai-whisper's transcribe()      frames after the clip are 0.0
#   transformers' feature extractor    frames after the clip are -0.67 (the spectrum of silence, here)
# Features span 2 units from the quietest up, so that 0.0 is a third of the way: not silence. Measured with
# another program, both ways, tiny.en on 18 clips of real speech: word error rate 7.9 % with silence, 5.1 % with zeros.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.13.0 numpy==2.2.6 transformers==5.23.0 tiktoken==0.14.0 numba==0.61.2 more-itertools==10.7.0 tqdm
"$folder/venv/bin/pip" install -q --no-deps openai-whisper==20250625
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
from importlib.metadata import version

import numpy as np
import torch
import whisper
from transformers import WhisperFeatureExtractor
from whisper.model import ModelDimensions, Whisper

for name in ("openai-whisper", "transformers", "torch"):
    print(name, version(name))
clip = (0.3 * np.sin(2 * np.pi * 440 * np.arange(3 * 16_000) / 16_000)).astype(np.float32)
after = slice(310, None)  # frames of 10 ms, well after the clip

# Random weights: only what the encoder receives is looked at.
torch.manual_seed(0)
network = Whisper(ModelDimensions(80, 1500, 64, 1, 1, 51_864, 448, 64, 1, 1)).eval()
received = []
network.encoder.register_forward_pre_hook(lambda module, inputs: received.append(inputs[0].clone()))
whisper.transcribe(network, clip, temperature=0.0, fp16=False, sample_len=1)
theirs = received[0][0]
print("openai-whisper:", tuple(theirs.shape), "after the clip", theirs[:, after].unique().tolist())
assert theirs.shape == (80, 3000)
assert theirs[:, after].unique().tolist() == [0.0]

extractor = WhisperFeatureExtractor()
features = extractor(clip, sampling_rate=16_000, return_tensors="pt").input_features[0]
level = features[:, after].unique()
print("transformers:  ", tuple(features.shape), "after the clip", [round(x, 2) for x in level.tolist()])
assert features.shape == (80, 3000)
assert len(level) == 1 and abs(float(level) + 0.67) < 0.01
assert float(level) == float(features.min())
assert torch.allclose(theirs[:, :280], features[:, :280], atol=1e-4), "the clip itself is the same"
PYTHON

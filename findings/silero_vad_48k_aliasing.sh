#!/usr/bin/env bash
# silero-vad takes every third sample of 48 kHz audio, without a filter: what lies above 8 kHz becomes speech.
#
# Seen with silero-vad 6.2.3, torch 2.13.0, espeakng-loader 0.2.4, soxr 1.0.0, a synthesised sentence of 4.34 s:
#   the sentence at 16 kHz                                             4.31 s of speech
#   shifted to 9-23 kHz, nothing left below, 48 kHz as it is           4.31 s of speech
#   the same, resampled to 16 kHz first                                0.00 s
#   the sentence at 48 kHz beside a tone of 15.5 kHz, as it is         3.51 s
#   the same, resampled to 16 kHz first                                4.34 s
# get_speech_timestamps says that it casts the rate itself, and takes audio[::3]. Recordings of 32 and 48 kHz have to
# be resampled before it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.13.0 numpy==2.2.6 soxr==1.0.0 espeakng-loader==0.2.4 packaging==25.0
"$folder/venv/bin/pip" install -q --no-deps silero-vad==6.2.3
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import ctypes
from importlib.metadata import version

import espeakng_loader
import numpy as np
import silero_vad.utils_vad as utils
import soxr
import torch
from silero_vad.model import load_silero_vad

for name in ("silero-vad", "torch", "soxr", "espeakng-loader"):
    print(name, version(name))

TEXT = b"The meeting begins at nine in the morning, and we expect everybody to be on time."
library = ctypes.CDLL(str(espeakng_loader.get_library_path()))
rate = library.espeak_Initialize(2, 0, str(espeakng_loader.get_data_path()).encode(), 0x8000)
pieces = []


@ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
def collect(samples, count, _):
    if count:
        pieces.append(np.ctypeslib.as_array(samples, (count,)).copy())
    return 0


library.espeak_SetSynthCallback(collect)
library.espeak_SetVoiceByName(b"en-us")
library.espeak_Synth(TEXT, ctypes.c_size_t(len(TEXT) + 1), 0, 0, 0, 1, None, None)
speech = np.concatenate(pieces).astype(np.float32) / 32768


def band_limit(samples, hz, top):
    spectrum = np.fft.rfft(samples)
    spectrum[np.fft.rfftfreq(len(samples), 1 / hz) > top] = 0
    return np.fft.irfft(spectrum, len(samples)).astype(np.float32)


wide = band_limit(soxr.resample(speech, rate, 48_000), 48_000, 7_000)
wide = np.pad(wide, (0, -len(wide) % 3))
clock = np.arange(len(wide)) / 48_000
shifted = (2 * wide * np.cos(2 * np.pi * 16_000 * clock)).astype(np.float32) / 2
below = np.abs(np.fft.rfft(shifted))[np.fft.rfftfreq(len(shifted), 1 / 48_000) < 8_900]
share = float((below**2).sum() / (np.abs(np.fft.rfft(shifted)) ** 2).sum())
print(f"share of the shifted clip's energy below 8.9 kHz: {share:.0e}")
assert share < 1e-6
hiss = (wide + 0.5 * np.sin(2 * np.pi * 15_500 * clock)).astype(np.float32)

model = load_silero_vad(onnx=False)


def speech_s(samples, hz):
    spans = utils.get_speech_timestamps(torch.from_numpy(samples), model, sampling_rate=hz)
    return round(sum(one["end"] - one["start"] for one in spans) / hz, 3)


found = {
    "16 kHz": speech_s(np.ascontiguousarray(wide[::3]), 16_000),
    "shifted, 48 kHz": speech_s(shifted, 48_000),
    "shifted, soxr": speech_s(soxr.resample(shifted, 48_000, 16_000), 16_000),
    "beside a tone, 48 kHz": speech_s(hiss, 48_000),
    "beside a tone, soxr": speech_s(soxr.resample(hiss, 48_000, 16_000), 16_000),
}
print("seconds of speech:", found, "of", round(len(wide) / 48_000, 2))
assert found["16 kHz"] > 4
assert abs(found["shifted, 48 kHz"] - found["16 kHz"]) < 0.05, "speech where there is none"
assert found["shifted, soxr"] == 0
assert found["beside a tone, soxr"] - found["beside a tone, 48 kHz"] > 0.5, "speech that is lost"
PYTHON

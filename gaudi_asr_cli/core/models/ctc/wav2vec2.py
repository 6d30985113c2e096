"""wav2vec 2.0 and the families with its convolutional feature encoder."""

from __future__ import annotations

from dataclasses import replace

from gaudi_asr_cli.core.models.families import ModelFamily
from gaudi_asr_cli.core.models.geometry import convolutional_geometry

# Not conformer (unmasked convolutions inside the blocks), not SEW (pools frames in pairs).
WAV2VEC2_CONFORMER = ModelFamily("ctc", convolutional_geometry)
SEW = WAV2VEC2_CONFORMER
# data2vec has five positional convolutions, only the first of which gets zeros as padding.
DATA2VEC_AUDIO = replace(WAV2VEC2_CONFORMER, packed_body="data2vec_audio")
WAV2VEC2 = replace(WAV2VEC2_CONFORMER, isolates_padding=True, packed_body="wav2vec2")
HUBERT = replace(WAV2VEC2, packed_body="hubert")
UNISPEECH = replace(WAV2VEC2, packed_body="unispeech")
UNISPEECH_SAT = replace(WAV2VEC2, packed_body="unispeech_sat")
WAVLM = replace(WAV2VEC2, packed_body="wavlm", eager_only=True)

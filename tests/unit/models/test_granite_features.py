"""Features of Granite Speech, computed without torchaudio."""

import numpy as np
import pytest
import torch
from helpers.tiny_models import make_batch

from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.models.ctc.granite import open_granite_features
from gaudi_asr_cli.core.models.features import open_frontend

CONFIG = {"model_type": "granite_speech5_ctc"}
REFERENCE = (
    (5000, {}, (16, 320), (1.1678, 0.94223, 0.0, -0.62597, 0.87715, 2445.38354)),
    (
        3201,
        {"num_mel_bins": 16, "delta_win_length": 5, "logmel_floor_db": 6.0},
        (10, 64),
        (0.90126, 1.19319, 0.0, -0.03294, -0.33104, 262.38007),
    ),
)
"""Samples, settings, shape and values of `GraniteSpeech5FeatureExtractor`, computed once with
transformers 5.23.0, torch 2.13.0 and torchaudio 2.11.1."""


def test_features_are_those_of_transformers_with_torchaudio():
    random = np.random.default_rng(5)

    for samples, settings, shape, expected in REFERENCE:
        clip = (0.1 * random.standard_normal(samples)).astype(np.float32)
        clip[samples // 2 :] *= 1e-4
        features = open_granite_features(settings)([clip])["input_features"][0]

        some = (
            *(features[0, 0], features[1, 7], features[-1, -1], features[-1, 3]),
            *(features[len(features) // 2, 20], np.abs(features).sum()),
        )
        assert features.shape == shape
        assert some == pytest.approx(expected, abs=2e-5, rel=1e-6)


def test_a_clip_has_the_same_features_in_any_batch():
    frontend = open_frontend({}, CONFIG, 1120)
    batch, alone = make_batch([16_000, 5_000]), make_batch([16_000, 5_000])
    alone.samples[0], alone.lengths[0] = batch.samples[1], 5_000

    together, single = frontend.prepare(batch), frontend.prepare(alone)

    masked = together["attention_mask"][1].bool()
    assert torch.equal(together["input_features"][1, masked], single["input_features"][0, masked])
    assert masked.sum() == 16


@pytest.mark.parametrize(
    ("name", "value"), [("delta_win_length", 1), ("n_fft", "x"), ("num_mel_bins", 0)]
)
def test_settings_that_give_no_features_are_named(name, value):
    with pytest.raises(DataError, match="cannot compute features with these settings"):
        open_frontend({name: value}, CONFIG, 1120)

import json

import numpy as np
import pytest
import torch
from helpers.tiny_models import make_batch
from transformers import SeamlessM4TFeatureExtractor, Wav2Vec2FeatureExtractor

from gaudi_asr_cli.core.models.features import (
    Frontend,
    default_settings,
    open_frontend,
    read_settings,
)
from gaudi_asr_cli.core.models.geometry import geometry_from_config
from gaudi_asr_cli.core.records import AudioBatch

BERT = {"model_type": "wav2vec2-bert"}
BERT_SHORTEST = geometry_from_config(BERT).minimum_samples


def open_bert():
    return open_frontend(default_settings(BERT), BERT, BERT_SHORTEST)


def test_normalisation_matches_the_feature_extractor():
    batch = make_batch([4000, 1234])
    clips = [batch.samples[0], batch.samples[1, :1234]]

    ours = Frontend(masks=True).prepare(batch)

    extractor = Wav2Vec2FeatureExtractor(return_attention_mask=True)
    theirs = extractor(clips, sampling_rate=16_000, padding=True, return_tensors="pt")
    assert torch.equal(ours["input_values"], theirs["input_values"])
    assert torch.equal(ours["attention_mask"], theirs["attention_mask"].long())


def test_padding_does_not_change_the_values_of_an_utterance():
    batch = make_batch([4000, 1234])
    unbatched = AudioBatch(batch.utterances[1:], batch.samples[1:, :1234], batch.lengths[1:])

    batched = Frontend().prepare(batch)["input_values"][1]

    assert torch.equal(batched[:1234], Frontend().prepare(unbatched)["input_values"][0])
    assert batched[1234:].eq(0).all()


def test_a_model_trained_without_normalisation_gets_raw_samples():
    batch = make_batch([2000])

    values = Frontend(normalizes=False).prepare(batch)["input_values"]

    assert values.numpy() == pytest.approx(batch.samples)


def test_a_model_trained_without_attention_masks_gets_none():
    assert set(Frontend(masks=False).prepare(make_batch([2000, 1000]))) == {"input_values"}


def test_a_clip_that_is_too_short_is_padded_with_unmasked_silence():
    inputs = Frontend(masks=True, minimum_samples=400).prepare(make_batch([3]))

    assert inputs["input_values"].shape == (1, 400)
    assert inputs["input_values"][0, 3:].eq(0).all()
    assert inputs["attention_mask"].sum() == 400


def test_silence_stays_silence():
    batch = make_batch([500])
    batch.samples[:] = 0

    assert Frontend().prepare(batch)["input_values"].eq(0).all()


def test_mel_features_match_the_feature_extractor():
    batch = make_batch([16_000, 9_999])

    inputs = open_bert().prepare(batch)

    clips = [batch.samples[0], batch.samples[1, :9_999]]
    theirs = SeamlessM4TFeatureExtractor()(clips, sampling_rate=16_000, return_tensors="pt")
    frames = inputs["input_features"].shape[1]
    assert torch.equal(inputs["input_features"], theirs["input_features"][:, :frames])
    assert torch.equal(inputs["attention_mask"], theirs["attention_mask"][:, :frames].long())


@pytest.mark.parametrize("samples", [1, 560, 719, 720, 880, 16_000, 16_100, 16_240])
def test_the_number_of_mel_frames_matches_the_geometry(samples):
    geometry = geometry_from_config(BERT)

    inputs = open_bert().prepare(make_batch([samples]))

    assert inputs["input_features"].shape[1] == geometry.count_frames(samples)
    assert inputs["attention_mask"].sum() == geometry.count_frames(samples)
    assert np.isfinite(inputs["input_features"].numpy()).all()


def test_settings_are_read_from_the_processor_file_of_transformers_5(tmp_path):
    inner = {"do_normalize": False, "return_attention_mask": True}
    path = tmp_path / "processor_config.json"
    path.write_text(json.dumps({"feature_extractor": inner, "processor_class": "X"}))

    frontend = open_frontend(read_settings(tmp_path, {}), {}, 400)

    assert (frontend.normalizes, frontend.masks) == (False, True)


def test_the_preprocessor_file_takes_precedence_over_the_processor_file(tmp_path):
    (tmp_path / "processor_config.json").write_text(
        json.dumps({"feature_extractor": {"do_normalize": False}})
    )
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"do_normalize": True}))

    assert read_settings(tmp_path, {}) == {"do_normalize": True}


@pytest.mark.parametrize(("norm", "masks"), [("group", False), ("layer", True)])
def test_without_settings_only_layer_norm_models_get_attention_masks(tmp_path, norm, masks):
    settings = read_settings(tmp_path, {"model_type": "hubert", "feat_extract_norm": norm})

    assert settings["return_attention_mask"] is masks

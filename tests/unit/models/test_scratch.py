from types import MappingProxyType

import numpy as np
import pytest
import torch
from helpers.tiny_models import make_batch, tiny_vocabulary

from gaudi_asr_cli.core.errors import RecipeError
from gaudi_asr_cli.core.models.ctc.model import open_ctc_model
from gaudi_asr_cli.core.models.ctc.scratch import build_from_scratch, gabor_filters
from gaudi_asr_cli.core.models.ctc.tuning import save_model

DEMO = MappingProxyType(
    {
        "hidden_size": 96,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 384,
        "do_stable_layer_norm": True,
        "feat_extract_norm": "layer",
        "conv_bias": True,
        "conv_dim": [64, 128, 128],
        "conv_kernel": [160, 8, 3],
        "conv_stride": [40, 4, 2],
        "num_conv_pos_embeddings": 32,
        "num_conv_pos_embedding_groups": 8,
        "first_convolution": "gabor",
    }
)


def build(seed=1, **changes):
    return build_from_scratch({**DEMO, **changes}, tiny_vocabulary(), seed)


def test_the_demo_architecture_has_half_a_million_weights_and_20_ms_frames():
    model = build()

    weights = sum(parameter.numel() for parameter in model.network.parameters())
    assert weights == pytest.approx(514_336, rel=0.01)
    assert model.geometry.frame_s == 0.02
    assert model.frontend.masks


def test_weights_depend_on_the_seed_alone():
    first, again, other = build(1), build(1), build(2)

    states = [m.network.state_dict() for m in (first, again, other)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not all(torch.equal(states[0][name], states[2][name]) for name in states[0])


def test_building_does_not_change_the_global_random_state():
    torch.manual_seed(5)
    expected = torch.rand(3)

    torch.manual_seed(5)
    build()

    assert torch.equal(torch.rand(3), expected)


def test_gabor_filters_are_mel_spaced_from_80_to_4000_hz():
    filters = gabor_filters(64, 160)

    peaks_hz = np.abs(np.fft.rfft(filters[:32], n=16_000)).argmax(axis=1)
    peaks_mel = 2595 * np.log10(1 + peaks_hz / 700)
    lowest_mel, highest_mel = 2595 * np.log10(1 + np.array([80, 4000]) / 700)
    # Less than two periods of the lowest ones fit into the kernel: they have no clear peak.
    assert peaks_mel[8:] == pytest.approx(np.linspace(lowest_mel, highest_mel, 32)[8:], rel=0.02)
    assert np.square(filters).sum(axis=1) == pytest.approx(np.ones(64), rel=1e-4)


def test_sines_and_cosines_of_a_frequency_are_out_of_phase():
    filters = gabor_filters(64, 160)

    products = (filters[:32] * filters[32:]).sum(axis=1)
    assert np.abs(products).max() < 0.05


def test_the_first_convolution_is_initialised_as_filter_bank_and_trainable():
    convolution = build().network.wav2vec2.feature_extractor.conv_layers[0].conv

    assert convolution.weight.detach()[:, 0].numpy() == pytest.approx(gabor_filters(64, 160))
    assert convolution.weight.requires_grad


def test_the_first_convolution_can_be_random():
    convolution = build(first_convolution="random").network.wav2vec2.feature_extractor

    weights = convolution.conv_layers[0].conv.weight.detach()[:, 0].numpy()
    assert weights != pytest.approx(gabor_filters(64, 160))


def test_a_saved_model_can_be_opened(tmp_path):
    model = build()
    save_model(model, tmp_path)

    again = open_ctc_model(str(tmp_path), device=model.device, dtype="fp32")

    assert again.vocabulary == model.vocabulary
    assert again.geometry == model.geometry
    log_probs = again.emissions(make_batch([16_000])).log_probs
    model.network.eval()
    assert np.isfinite(log_probs).all()
    assert log_probs.shape == model.emissions(make_batch([16_000])).log_probs.shape


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hiden_size": 96}, "hiden_size"),
        ({"vocab_size": 5}, "follows from the vocabulary"),
        ({"first_convolution": "mel"}, "first_convolution"),
        ({"conv_stride": [40, 4]}, "conv"),
        ({"num_attention_heads": 5}, "architecture"),
        ({"conv_dim": [63, 128, 128]}, "even"),
    ],
)
def test_an_invalid_architecture_is_rejected(changes, message):
    with pytest.raises(RecipeError, match=message):
        build(**changes)

import copy

import numpy as np
import pytest
import torch
from helpers.tiny_models import build_tiny_network, make_batch, save_tiny_model

from gaudi_asr_cli.core.devices import open_device
from gaudi_asr_cli.core.models.ctc.masked_norm import MaskedGroupNorm, make_padding_invariant
from gaudi_asr_cli.core.models.ctc.model import CtcModel, open_ctc_model
from gaudi_asr_cli.core.models.ctc.tuning import save_model
from gaudi_asr_cli.core.records import AudioBatch

LENGTHS = [4000, 7321, 16000, 900]
GROUP_NORM = ["wav2vec2", "hubert", "wavlm", "unispeech", "unispeech-sat"]


def open_tiny(tmp_path, family) -> CtcModel:
    save_tiny_model(tmp_path / family, family)
    return open_ctc_model(str(tmp_path / family), device=open_device("cpu"), dtype="fp32")


def logits_of(model, batch):
    with torch.inference_mode():
        return model.network(**model.frontend.prepare(batch)).logits


def unbatch(batch, row, padding_samples=0):
    length = int(batch.lengths[row])
    samples = np.pad(batch.samples[row : row + 1, :length], ((0, 0), (0, padding_samples)))
    return AudioBatch((batch.utterances[row],), samples, batch.lengths[row : row + 1])


@pytest.mark.parametrize("family", GROUP_NORM)
def test_an_utterance_gets_the_same_logits_batched_and_unbatched(tmp_path, family):
    plain = open_tiny(tmp_path, family)
    batch = make_batch(LENGTHS)
    unpadded = [logits_of(plain, unbatch(batch, row)) for row in range(len(LENGTHS))]

    invariant = make_padding_invariant(plain)
    padded = logits_of(invariant, batch)

    assert invariant.padding_invariant
    for row, expected in enumerate(unpadded):
        frames = expected.shape[1]
        torch.testing.assert_close(padded[row, :frames], expected[0], rtol=0, atol=1e-4)


@pytest.mark.parametrize("family", ["wav2vec2", "hubert"])
def test_without_the_masked_norm_padding_changes_the_logits(tmp_path, family):
    plain = open_tiny(tmp_path, family)
    batch = make_batch(LENGTHS)

    expected = logits_of(plain, unbatch(batch, 0))[0]
    padded = logits_of(plain, batch)[0, : len(expected)]

    assert (padded - expected).abs().max() > 1e-2


def test_the_logits_of_a_row_without_padding_do_not_change(tmp_path):
    plain = open_tiny(tmp_path, "wav2vec2")
    batch = make_batch([8000])
    expected = logits_of(plain, batch)

    invariant = make_padding_invariant(plain)

    torch.testing.assert_close(logits_of(invariant, batch), expected, rtol=0, atol=1e-4)
    # The network is shared; without a mask it computes the plain norm.
    torch.testing.assert_close(logits_of(plain, batch), expected, rtol=0, atol=0)


@pytest.mark.parametrize(
    "family", ["wav2vec2-layer-norm", "data2vec-audio", "sew", "wav2vec2-bert"]
)
def test_models_that_are_invariant_or_cannot_be_are_returned_unchanged(tmp_path, family):
    model = open_tiny(tmp_path, family)

    assert make_padding_invariant(model) is model
    assert not any(isinstance(part, MaskedGroupNorm) for part in model.network.modules())


def test_weights_keep_their_names_when_saved(tmp_path):
    model = open_tiny(tmp_path, "hubert")
    before = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}

    save_model(make_padding_invariant(model), tmp_path / "saved")
    again = open_ctc_model(str(tmp_path / "saved"), device=open_device("cpu"), dtype="fp32")

    after = again.network.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_gradients_match_the_plain_norm():
    plain = build_tiny_network("wav2vec2")
    masked = copy.deepcopy(plain)
    layer = masked.base_model.feature_extractor.conv_layers[0]
    layer.layer_norm = MaskedGroupNorm(layer.layer_norm, 10, 5)
    samples = torch.randn(2, 4000, generator=torch.Generator().manual_seed(0))
    layer.layer_norm.mask = torch.ones(2, 4000, dtype=torch.int64)

    plain(samples).logits.square().sum().backward()
    masked(samples).logits.square().sum().backward()

    for (name, one), other in zip(plain.named_parameters(), masked.parameters(), strict=True):
        if one.grad is not None:
            torch.testing.assert_close(other.grad, one.grad, rtol=1e-3, atol=1e-3, msg=name)


def test_making_a_model_padding_invariant_is_idempotent(tmp_path):
    batch = make_batch(LENGTHS)
    once = make_padding_invariant(open_tiny(tmp_path, "wav2vec2"))
    expected = logits_of(once, batch)

    twice = make_padding_invariant(once)

    torch.testing.assert_close(logits_of(twice, batch), expected, rtol=0, atol=0)

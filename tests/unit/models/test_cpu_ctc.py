from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from helpers.tiny_models import FAMILIES, TINY, make_batch, save_tiny_model

from gaudi_asr_cli.core.devices.cpu import open_cpu
from gaudi_asr_cli.core.devices.int16 import can_multiply_int16
from gaudi_asr_cli.core.errors import MachineError
from gaudi_asr_cli.core.models.cpu import positions
from gaudi_asr_cli.core.models.cpu import precision as precision_module
from gaudi_asr_cli.core.models.cpu.ctc import pack
from gaudi_asr_cli.core.models.cpu.linear import can_fuse
from gaudi_asr_cli.core.models.ctc.model import open_ctc_model

SUPPORTED = [
    "wav2vec2",
    "wav2vec2-layer-norm",
    "mms",
    "hubert",
    "hubert-layer-norm",
    "wavlm",
    "wavlm-layer-norm",
    "unispeech",
    "unispeech-layer-norm",
    "unispeech-sat",
    "data2vec-audio",
]
UNSUPPORTED = sorted({"wav2vec2-adapter", "sew", "sew-d", "wav2vec2-conformer", "wav2vec2-bert"})
DEMO = {
    **TINY,
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
    "conv_bias": True,
    "conv_kernel": (160, 8, 3),
    "conv_stride": (40, 4, 2),
}
SHORT, LONG = 400, 200_000
"""One frame or a few; more frames than a block of convolutions or of positions."""


@pytest.fixture
def open_tiny(tmp_path, monkeypatch):
    monkeypatch.setitem(FAMILIES, "demo-layout", ("Wav2Vec2", DEMO))
    monkeypatch.setitem(
        FAMILIES, "hubert-bare", ("Hubert", {**TINY, "feat_proj_layer_norm": False})
    )

    def open_one(family: str, dtype: str = "fp32"):
        save_tiny_model(tmp_path / family, family)
        model = open_ctc_model(str(tmp_path / family), device=open_cpu(), dtype="fp32")
        return dataclasses.replace(model, dtype=dtype)

    return open_one


def max_difference(first, second) -> float:
    assert first.log_probs.shape == second.log_probs.shape
    return float(np.abs(first.log_probs - second.log_probs).max())


@pytest.mark.parametrize("family", [*SUPPORTED, "demo-layout", "hubert-bare"])
def test_the_emissions_of_a_packed_model_match_transformers(open_tiny, family):
    model = open_tiny(family)
    packed = pack(model)
    # In double precision, so that the whole difference is the packed model's.
    model.network.double()

    for samples in (SHORT, 16_000, LONG):
        batch = make_batch([samples])
        assert max_difference(packed.emissions(batch), model.emissions(batch)) < 1e-4


@pytest.mark.parametrize("family", ["wav2vec2", "wav2vec2-layer-norm", "data2vec-audio"])
def test_emissions_without_avx512_match(open_tiny, monkeypatch, family):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    monkeypatch.setattr(positions, "SPECTRAL_FROM_KERNEL", 2)
    model = open_tiny(family)
    packed = pack(model)
    model.network.double()

    for samples in (SHORT, 30_000, LONG):
        batch = make_batch([samples])
        assert max_difference(packed.emissions(batch), model.emissions(batch)) < 1e-4


@pytest.mark.parametrize("family", ["wav2vec2", "hubert-layer-norm", "data2vec-audio", "wavlm"])
def test_emissions_without_onednn_match(open_tiny, monkeypatch, family):
    monkeypatch.setattr(torch._C, "_has_mkldnn", False)
    model, batch = open_tiny(family), make_batch([30_000])
    packed = pack(model)

    assert not can_fuse(torch.float32)
    assert max_difference(packed.emissions(batch), model.emissions(batch)) < 1e-4


@pytest.mark.parametrize("family", [*SUPPORTED, "demo-layout"])
def test_bf16_emissions_are_close(open_tiny, family):
    if not can_fuse(torch.bfloat16):
        pytest.skip("this processor has no bf16")
    model, batch = open_tiny(family), make_batch([30_000])
    packed = pack(dataclasses.replace(model, dtype="bf16")).emissions(batch).log_probs

    exact = model.emissions(batch).log_probs
    agreement = (packed.argmax(-1) == exact.argmax(-1)).mean()
    assert 0 < np.abs(packed - exact).mean() < 0.1
    assert agreement > 0.9


@pytest.mark.parametrize(("precision", "error"), [("int8", 0.02), ("int16", 0.001)])
@pytest.mark.parametrize("family", ["wav2vec2", "wav2vec2-layer-norm", "wavlm"])
def test_emissions_in_integers_are_close(open_tiny, family, precision, error):
    if not can_multiply_int16():
        pytest.skip("this processor has no AVX2")
    model, batch = open_tiny(family), make_batch([30_000])
    packed = pack(dataclasses.replace(model, dtype="bf16"), precision)
    found = packed.emissions(batch).log_probs

    exact = model.emissions(batch).log_probs
    assert packed.dtype == precision
    assert 0 < np.abs(found - exact).mean() < error
    assert (found.argmax(-1) == exact.argmax(-1)).mean() > 1 - 1.5 * error


@pytest.mark.parametrize("precision", ["int8", "int16"])
def test_integers_are_rejected_where_nothing_multiplies_them(open_tiny, monkeypatch, precision):
    monkeypatch.setattr(torch._C, "_has_mkldnn", False)
    monkeypatch.setattr(precision_module, "can_multiply_int16", lambda: False)

    with pytest.raises(MachineError, match=r"integers|int16") as caught:
        pack(open_tiny("wav2vec2"), precision)

    assert "pip install llvmlite" in caught.value.remedy


@pytest.mark.parametrize("family", ["wav2vec2", "wav2vec2-layer-norm", "wavlm"])
@pytest.mark.parametrize("precision", ["fp32", "int16", "int8"])
def test_packed_emissions_do_not_depend_on_the_rest_of_the_batch(open_tiny, family, precision):
    if precision != "fp32" and not can_multiply_int16():
        pytest.skip("this processor has no AVX2")
    packed = pack(open_tiny(family), precision)
    batch = make_batch([16_000, SHORT, 40_000])
    batched = packed.emissions(batch)

    for row, samples in enumerate(batch.lengths):
        unbatched = make_batch([int(samples)])
        unbatched.samples[0] = batch.samples[row, :samples]
        expected = packed.emissions(unbatched).log_probs[0]
        assert batched.frames[row] == len(expected)
        assert np.abs(batched.log_probs[row, : len(expected)] - expected).max() < 1e-4


@pytest.mark.parametrize("family", UNSUPPORTED)
def test_an_unsupported_family_is_not_packed(open_tiny, family):
    assert pack(open_tiny(family)) is None


@pytest.mark.parametrize("field", [{"hidden_act": "relu"}, {"feat_extract_activation": "relu"}])
def test_an_unsupported_activation_is_not_packed(open_tiny, monkeypatch, field):
    monkeypatch.setitem(FAMILIES, "relu", ("Wav2Vec2", {**TINY, **field}))

    assert pack(open_tiny("relu")) is None


def test_a_packed_model_has_the_metadata_of_the_model(open_tiny):
    model = open_tiny("wav2vec2")
    packed = pack(model)

    for field in ("name", "vocabulary", "frontend", "geometry", "device", "dtype", "config"):
        assert getattr(packed, field) == getattr(model, field)
    assert packed.padding_invariant
    assert not packed.prefers_batching


def test_packing_does_not_modify_the_model(open_tiny):
    model, batch = open_tiny("wav2vec2"), make_batch([16_000])
    before = model.emissions(batch)
    pack(model).emissions(batch)

    assert max_difference(model.emissions(batch), before) == 0


def test_the_probabilities_of_every_frame_sum_to_one(open_tiny):
    emissions = pack(open_tiny("hubert")).emissions(make_batch([16_000]))

    assert emissions.log_probs.dtype == np.float32
    assert np.allclose(np.exp(emissions.log_probs).sum(-1), 1, atol=1e-5)

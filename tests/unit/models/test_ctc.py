import json
import sys
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from helpers.tiny_models import FAMILIES, make_batch, save_tiny_model, tiny_vocabulary
from safetensors.torch import load_file, save_file

from gaudi_asr_cli.core.devices.cpu import CpuDevice
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.models.ctc.model import fit_to_head, open_ctc_model
from gaudi_asr_cli.core.models.ctc.tuning import save_model
from gaudi_asr_cli.core.records import AudioBatch, Vocabulary

CPU = CpuDevice(frozenset(), "a test's CPU")
LENGTHS = (8000, 5003, 6400)


@dataclass(frozen=True)
class BatchingCpu(CpuDevice):
    """A CPU that prefers batching, so that models batch."""

    prefers_batching: bool = True


def open_tiny(tmp_path, family, device=CPU, dtype="fp32"):
    return open_ctc_model(str(save_tiny_model(tmp_path, family)), device=device, dtype=dtype)


def row_of(batch, row):
    length = int(batch.lengths[row])
    return AudioBatch(
        batch.utterances[row : row + 1],
        batch.samples[row : row + 1, :length],
        batch.lengths[row : row + 1],
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_gives_probabilities_for_each_frame(tmp_path, family):
    model = open_tiny(tmp_path, family)

    emissions = model.emissions(make_batch(LENGTHS))

    assert emissions.frames.tolist() == [model.geometry.count_frames(n) for n in LENGTHS]
    assert emissions.log_probs.shape == (3, emissions.frames[0], len(model.vocabulary.tokens))
    assert emissions.log_probs.dtype == np.float32
    sums = np.exp(emissions.log_probs[1, : emissions.frames[1]]).sum(axis=1)
    assert sums == pytest.approx(np.ones_like(sums), abs=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_emissions_do_not_depend_on_the_rest_of_the_batch(tmp_path, family):
    model = open_tiny(tmp_path, family, BatchingCpu(frozenset(), "a test's CPU"))
    batch = make_batch(LENGTHS)

    batched = model.emissions(batch)

    for row in range(len(LENGTHS)):
        unbatched = model.emissions(row_of(batch, row))
        frames = int(batched.frames[row])
        assert frames == unbatched.frames[0]
        assert batched.log_probs[row, :frames] == pytest.approx(unbatched.log_probs[0], abs=2e-5)


def test_layer_norm_models_are_batched_on_devices_that_prefer_batching(tmp_path, monkeypatch):
    device = BatchingCpu(frozenset(), "a test's CPU")
    masked = open_tiny(tmp_path / "layer", "wav2vec2-layer-norm", device)
    group = open_tiny(tmp_path / "group", "wav2vec2", device)
    on_cpu = replace(masked, device=CPU)

    assert [m.prefers_batching for m in (masked, group, on_cpu)] == [True, False, False]
    assert count_forwards(masked) == 1
    assert count_forwards(group) == 3
    assert count_forwards(on_cpu) == 3


def count_forwards(model):
    calls = []
    hook = model.network.register_forward_hook(lambda *_: calls.append(1))
    model.emissions(make_batch(LENGTHS))
    hook.remove()
    return len(calls)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_saved_model_gives_the_same_emissions(tmp_path, family):
    model = open_tiny(tmp_path / "first", family)
    batch = make_batch(LENGTHS)

    save_model(model, tmp_path / "second")
    again = open_ctc_model(str(tmp_path / "second"), device=CPU, dtype="fp32")

    assert again.vocabulary == model.vocabulary
    np.testing.assert_allclose(
        again.emissions(batch).log_probs, model.emissions(batch).log_probs, atol=1e-5
    )


@pytest.mark.parametrize("family", ["wav2vec2", "wav2vec2-layer-norm", "wav2vec2-bert"])
def test_bf16_emissions_are_close_to_fp32(tmp_path, family):
    exact = open_tiny(tmp_path, family)
    fast = open_ctc_model(str(tmp_path), device=CPU, dtype="bf16")
    batch = make_batch([16_000])

    distance = np.abs(fast.emissions(batch).log_probs - exact.emissions(batch).log_probs)

    assert next(fast.network.parameters()).dtype == torch.bfloat16
    assert 0 < distance.mean() < 0.1


def test_fp32_weights_compute_in_the_requested_dtype(tmp_path):
    model = open_tiny(tmp_path, "wav2vec2-layer-norm")
    batch = make_batch([16_000])

    autocast = replace(model, dtype="bf16").emissions(batch).log_probs

    assert next(model.network.parameters()).dtype == torch.float32
    assert 0 < np.abs(autocast - model.emissions(batch).log_probs).mean() < 0.1


def test_inference_leaves_a_model_in_training_mode(tmp_path):
    model = open_tiny(tmp_path, "wav2vec2-layer-norm")
    inference_mode = model.emissions(make_batch([8000])).log_probs
    model.network.train()

    during_training = model.emissions(make_batch([8000])).log_probs

    assert model.network.training
    assert during_training.tobytes() == inference_mode.tobytes()


@pytest.mark.parametrize("samples", [0, 1, 50])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_clip_shorter_than_the_receptive_field_gives_emissions(tmp_path, family, samples):
    model = open_tiny(tmp_path, family)
    batch = make_batch([max(samples, 1)])
    batch = AudioBatch(batch.utterances, batch.samples[:, :samples], np.array([samples]))

    emissions = model.emissions(batch)

    assert emissions.frames.tolist() == [model.geometry.count_frames(0)]
    assert np.isfinite(emissions.log_probs).all()


def test_a_run_folder_opens_the_model_in_it(tmp_path):
    save_tiny_model(tmp_path / "model")

    assert open_ctc_model(str(tmp_path), device=CPU).name == str(tmp_path)


def test_opening_a_model_prints_nothing(tmp_path, capfd):
    save_tiny_model(tmp_path)

    open_ctc_model(str(tmp_path), device=CPU)

    assert capfd.readouterr() == ("", "")


def test_a_pretrained_model_without_head_is_rejected_with_a_remedy(tmp_path):
    save_tiny_model(tmp_path, head=False)

    with pytest.raises(DataError, match="pretrained only") as error:
        open_ctc_model(str(tmp_path), device=CPU)
    assert "finetune-ctc" in error.value.remedy


def test_a_whisper_model_is_rejected_by_name(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "whisper"}')

    with pytest.raises(DataError, match="'whisper' model, which has no CTC head"):
        open_ctc_model(str(tmp_path), device=CPU)


def test_a_text_model_is_rejected(tmp_path):
    save_tiny_model(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')

    with pytest.raises(DataError, match="'bert' model, an architecture that gaudi-asr does not"):
        open_ctc_model(str(tmp_path), device=CPU)


def test_a_model_with_custom_code_is_rejected_without_running_the_code(tmp_path):
    save_tiny_model(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "own.Config", "AutoModelForCTC": "own.Model"}
    config["model_type"] = "own"
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "own.py").write_text("import sys\nsys.own_code_ran = True\n")

    with pytest.raises(DataError, match="needs its own code"):
        open_ctc_model(str(tmp_path), device=CPU)
    assert not hasattr(sys, "own_code_ran")


def test_missing_weights_are_not_initialised_at_random(tmp_path):
    save_tiny_model(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    missing = next(name for name in weights if "encoder.layers.1" in name)
    del weights[missing]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(DataError, match="lacks 1 of the weights"):
        open_ctc_model(str(tmp_path), device=CPU)


def test_a_truncated_weights_file_is_rejected_by_name(tmp_path):
    path = save_tiny_model(tmp_path) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:500])

    with pytest.raises(DataError, match=r"model\.safetensors is not a complete safetensors file"):
        open_ctc_model(str(tmp_path), device=CPU)


def test_special_tokens_beyond_the_head_are_dropped():
    vocabulary = Vocabulary(("a", "[PAD]", "<s>", "</s>"), blank=1, special=frozenset({1, 2, 3}))

    fitted = fit_to_head(vocabulary, 2)

    assert fitted == Vocabulary(("a", "[PAD]"), blank=1, special=frozenset({1}))


def test_outputs_without_a_token_never_become_text():
    fitted = fit_to_head(Vocabulary(("a", "[PAD]"), blank=1, special=frozenset({1})), 4)

    assert fitted.tokens == ("a", "[PAD]", "<unused 2>", "<unused 3>")
    assert fitted.special == {1, 2, 3}
    assert fitted.unnamed == {2, 3}


def test_a_head_without_an_output_for_a_letter_is_rejected():
    with pytest.raises(DataError, match="only 5 columns"):
        fit_to_head(tiny_vocabulary("abcdefgh"), 5)

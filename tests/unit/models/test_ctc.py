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
    """A CPU that says batches are faster, so that models show what a batch does to them."""

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
def test_what_a_batch_holds_never_changes_what_is_heard(tmp_path, family):
    model = open_tiny(tmp_path, family, BatchingCpu(frozenset(), "a test's CPU"))
    batch = make_batch(LENGTHS)

    together = model.emissions(batch)

    for row in range(len(LENGTHS)):
        alone = model.emissions(row_of(batch, row))
        frames = int(together.frames[row])
        assert frames == alone.frames[0]
        assert together.log_probs[row, :frames] == pytest.approx(alone.log_probs[0], abs=2e-5)


def test_layer_norm_models_share_a_forward_pass_where_that_is_faster(tmp_path, monkeypatch):
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
def test_bf16_hears_nearly_the_same(tmp_path, family):
    exact = open_tiny(tmp_path, family)
    quick = open_ctc_model(str(tmp_path), device=CPU, dtype="bf16")
    batch = make_batch([16_000])

    distance = np.abs(quick.emissions(batch).log_probs - exact.emissions(batch).log_probs)

    assert next(quick.network.parameters()).dtype == torch.bfloat16
    assert 0 < distance.mean() < 0.1


def test_fp32_weights_compute_in_the_dtype_that_is_asked_for(tmp_path):
    model = open_tiny(tmp_path, "wav2vec2-layer-norm")
    batch = make_batch([16_000])

    autocast = replace(model, dtype="bf16").emissions(batch).log_probs

    assert next(model.network.parameters()).dtype == torch.float32
    assert 0 < np.abs(autocast - model.emissions(batch).log_probs).mean() < 0.1


def test_listening_leaves_a_model_in_training_as_it_was(tmp_path):
    model = open_tiny(tmp_path, "wav2vec2-layer-norm")
    inference_mode = model.emissions(make_batch([8000])).log_probs
    model.network.train()

    during_training = model.emissions(make_batch([8000])).log_probs

    assert model.network.training
    assert during_training.tobytes() == inference_mode.tobytes()


@pytest.mark.parametrize("samples", [0, 1, 50])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_clip_that_is_too_short_is_still_heard(tmp_path, family, samples):
    model = open_tiny(tmp_path, family)
    batch = make_batch([max(samples, 1)])
    batch = AudioBatch(batch.utterances, batch.samples[:, :samples], np.array([samples]))

    emissions = model.emissions(batch)

    assert emissions.frames.tolist() == [model.geometry.count_frames(0)]
    assert np.isfinite(emissions.log_probs).all()


def test_a_run_folder_stands_for_the_model_in_it(tmp_path):
    save_tiny_model(tmp_path / "model")

    assert open_ctc_model(str(tmp_path), device=CPU).name == str(tmp_path)


def test_opening_a_model_prints_nothing(tmp_path, capfd):
    save_tiny_model(tmp_path)

    open_ctc_model(str(tmp_path), device=CPU)

    assert capfd.readouterr() == ("", "")


def test_a_pretrained_model_without_head_is_refused_with_the_way_on(tmp_path):
    save_tiny_model(tmp_path, head=False)

    with pytest.raises(DataError, match="pretrained only") as error:
        open_ctc_model(str(tmp_path), device=CPU)
    assert "finetune-ctc" in error.value.remedy


def test_a_whisper_model_is_refused_by_name(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "whisper"}')

    with pytest.raises(DataError, match="'whisper' model, which has no CTC head"):
        open_ctc_model(str(tmp_path), device=CPU)


def test_a_model_of_no_speech_family_is_refused(tmp_path):
    save_tiny_model(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')

    with pytest.raises(DataError, match="cannot open"):
        open_ctc_model(str(tmp_path), device=CPU)


def test_a_model_that_wants_its_own_code_is_refused_and_the_code_not_run(tmp_path):
    save_tiny_model(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "own.Config", "AutoModelForCTC": "own.Model"}
    config["model_type"] = "own"
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "own.py").write_text("import sys\nsys.own_code_ran = True\n")

    with pytest.raises(DataError, match="needs its own code"):
        open_ctc_model(str(tmp_path), device=CPU)
    assert not hasattr(sys, "own_code_ran")


def test_weights_that_the_file_lacks_are_not_made_up(tmp_path):
    save_tiny_model(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    lost = next(name for name in weights if "encoder.layers.1" in name)
    del weights[lost]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(DataError, match="lacks 1 of the weights"):
        open_ctc_model(str(tmp_path), device=CPU)


def test_a_truncated_weights_file_is_named(tmp_path):
    path = save_tiny_model(tmp_path) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:500])

    with pytest.raises(DataError, match=r"model\.safetensors is not a whole safetensors file"):
        open_ctc_model(str(tmp_path), device=CPU)


def test_tokens_beyond_the_head_are_dropped_if_they_are_no_text():
    vocabulary = Vocabulary(("a", "[PAD]", "<s>", "</s>"), blank=1, special=frozenset({1, 2, 3}))

    fitted = fit_to_head(vocabulary, 2)

    assert fitted == Vocabulary(("a", "[PAD]"), blank=1, special=frozenset({1}))


def test_columns_without_a_token_never_become_text():
    fitted = fit_to_head(Vocabulary(("a", "[PAD]"), blank=1, special=frozenset({1})), 4)

    assert fitted.tokens == ("a", "[PAD]", "", "")
    assert fitted.special == {1, 2, 3}


def test_a_head_without_a_column_for_a_letter_is_refused():
    with pytest.raises(DataError, match="only 5 columns"):
        fit_to_head(tiny_vocabulary("abcdefgh"), 5)

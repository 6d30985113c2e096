"""The registry of model families, and those that it does not have."""

import json
import math

import numpy as np
import pytest
import torch
import transformers
from helpers.tiny_models import NEW_FAMILIES, make_batch, save_tiny_model, tiny_vocabulary

from gaudi_asr_cli.core.decoding.greedy import GreedyDecoder
from gaudi_asr_cli.core.devices.cpu import CpuDevice
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.models.ctc.model import open_ctc_model
from gaudi_asr_cli.core.models.ctc.tuning import open_for_training, save_model
from gaudi_asr_cli.core.models.families import FAMILIES
from gaudi_asr_cli.core.models.folder import find_model, kind_of

CPU = CpuDevice(frozenset(), "a test's CPU")
NEW = [
    name for name, (prefix, _) in NEW_FAMILIES.items() if hasattr(transformers, f"{prefix}ForCTC")
]
LENGTHS = (16_000, 24_000, 9_001, 5_000)


def greedy_texts(model, batch) -> list[str]:
    emissions, decoder = model.emissions(batch), GreedyDecoder(model.vocabulary)
    return [
        decoder.decode(emissions, row, utterance).text
        for row, utterance in enumerate(batch.utterances)
    ]


@pytest.mark.parametrize("family", NEW)
def test_the_text_of_a_new_family_is_transformers_argmax_batched_and_unbatched(tmp_path, family):
    model = open_ctc_model(str(save_tiny_model(tmp_path, family)), device=CPU, dtype="fp32")
    batch = make_batch(LENGTHS)

    batched = greedy_texts(model, batch)

    network = transformers.AutoModelForCTC.from_pretrained(tmp_path).eval()
    tokenizer = transformers.Wav2Vec2CTCTokenizer.from_pretrained(tmp_path)
    for row, samples in enumerate(LENGTHS):
        unbatched = make_batch([samples])
        unbatched.samples[0] = batch.samples[row, :samples]
        with torch.inference_mode():
            best = network(**model.frontend.prepare(unbatched)).logits[0].argmax(-1)
        expected = tokenizer.decode(best, skip_special_tokens=False).replace("[UNK]", "").strip()
        assert batched[row] == expected
        assert greedy_texts(model, unbatched) == [expected]
    assert any(batched)


@pytest.mark.parametrize("samples", [1, 400, 3_001, 16_000, 16_159, 40_007])
@pytest.mark.parametrize("family", NEW)
def test_the_frames_of_a_new_family_are_counted_from_its_subsampling(tmp_path, family, samples):
    model = open_ctc_model(str(save_tiny_model(tmp_path, family)), device=CPU, dtype="fp32")

    emissions = model.emissions(make_batch([samples]))

    assert emissions.log_probs.shape[1] == model.geometry.count_frames(samples)
    assert np.isfinite(emissions.log_probs).all()


@pytest.mark.parametrize("family", NEW)
def test_a_new_family_gets_a_head_for_a_vocabulary_trains_and_is_saved(tmp_path, family):
    vocabulary = tiny_vocabulary("abcdexyz")
    folder = str(save_tiny_model(tmp_path / "old", family))
    model = open_for_training(folder, device=CPU, vocabulary=vocabulary, dtype="fp32")
    optimiser = torch.optim.SGD(model.network.parameters(), lr=0.01)
    inputs = {**model.frontend.prepare(make_batch(LENGTHS)), "labels": torch.tensor([[1, 2]] * 4)}

    losses = []
    for _ in range(2):
        loss = model.network(**inputs).loss
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        losses.append(loss.item())

    save_model(model, tmp_path / "new")
    saved = open_ctc_model(str(tmp_path / "new"), device=CPU, dtype="fp32")
    model.network.eval()
    batch = make_batch(LENGTHS)
    assert all(map(math.isfinite, losses))
    assert set(model.new_tokens) == {"x", "y", "z"}
    assert np.allclose(
        saved.emissions(batch).log_probs, model.emissions(batch).log_probs, atol=1e-4
    )


@pytest.mark.parametrize(
    "family",
    [
        *("qwen2_audio", "voxtral", "granite_speech", "kyutai_speech_to_text", "parakeet_tdt"),
        *("speecht5", "seamless_m4t", "gemma3n", "phi4_multimodal", "llama", "an-own-one"),
    ],
)
def test_an_unsupported_architecture_is_named_with_those_that_are_supported(tmp_path, family):
    save_tiny_model(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": family}))

    for kind in ("ctc", "seq2seq", None):
        with pytest.raises(DataError, match=f"'{family}' model, an architecture") as error:
            find_model(str(tmp_path), kind=kind)
        assert all(name in error.value.remedy for name in FAMILIES)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_kind_of_each_family_is_that_of_its_record(name):
    assert kind_of({"model_type": name}) == FAMILIES[name].kind

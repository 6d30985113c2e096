"""The registry of model families, and those that it does not have."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers
from helpers.subword_models import save_subword_model
from helpers.tiny_models import NEW_FAMILIES, make_batch, save_tiny_model, tiny_vocabulary

from gaudi_asr_cli.core.decoding.greedy import GreedyDecoder
from gaudi_asr_cli.core.devices.cpu import CpuDevice
from gaudi_asr_cli.core.errors import DataError, MachineError, RecipeError
from gaudi_asr_cli.core.models.ctc.model import open_ctc_model, split_batch
from gaudi_asr_cli.core.models.ctc.tuning import freeze, open_for_training, save_model
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


def their_texts(folder, model, batch) -> list[str]:
    """Return transformers' own greedy text of each clip unbatched."""
    network = transformers.AutoModelForCTC.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    texts = []
    for one in split_batch(batch):
        with torch.inference_mode():
            tokens = network.generate(**model.frontend.prepare(one))
        texts += tokenizer.batch_decode(tokens, skip_special_tokens=True)
    return [text.strip() for text in texts]


@pytest.mark.parametrize("family", NEW)
def test_the_text_of_a_new_family_is_transformers_argmax_batched_and_unbatched(tmp_path, family):
    folder = save_subword_model(tmp_path, family)
    model = open_ctc_model(str(folder), device=CPU, dtype="fp32")
    batching = replace(model, device=replace(CPU, prefers_batching=True))
    batch = make_batch(LENGTHS)

    expected = their_texts(folder, model, batch)

    assert greedy_texts(model, batch) == expected
    assert greedy_texts(batching, batch) == expected
    assert [greedy_texts(model, one) for one in split_batch(batch)] == [[one] for one in expected]
    assert len(set(expected)) > 2


@pytest.mark.parametrize("family", NEW)
def test_a_row_of_a_bucket_has_the_shape_of_the_bucket_and_the_emissions_of_the_clip(
    tmp_path, family
):
    model = open_ctc_model(str(save_tiny_model(tmp_path, family)), device=CPU, dtype="fp32")
    short, wide = make_batch([9_001]), make_batch([9_001])
    wide = replace(wide, samples=np.pad(wide.samples, ((0, 0), (0, 20_000))))

    inputs = model.frontend.prepare(wide)

    longest = model.frontend.prepare(make_batch([29_001]))
    assert {name: one.shape for name, one in inputs.items()} == {
        name: one.shape for name, one in longest.items()
    }
    padded, alone = model._emit(wide), model._emit(short)
    frames = int(alone.frames[0])
    assert frames == int(padded.frames[0])
    assert np.allclose(padded.log_probs[0, :frames], alone.log_probs[0], atol=1e-4)


@pytest.mark.parametrize("samples", [1, 400, 3_001, 16_000, 16_159, 40_007])
@pytest.mark.parametrize("family", NEW)
def test_the_frames_of_a_new_family_are_counted_from_its_subsampling(tmp_path, family, samples):
    model = open_ctc_model(str(save_tiny_model(tmp_path, family)), device=CPU, dtype="fp32")

    emissions = model.emissions(make_batch([samples]))

    assert emissions.log_probs.shape[1] == model.geometry.count_frames(samples)
    assert np.isfinite(emissions.log_probs).all()


@pytest.mark.parametrize("family", [name for name in NEW if name != "granite"])
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


@pytest.mark.skipif("granite" not in NEW, reason="transformers has no Granite Speech CTC")
def test_a_head_that_is_tied_keeps_its_vocabulary_which_trains_and_is_saved(tmp_path):
    folder = str(save_tiny_model(tmp_path / "old", "granite"))
    with pytest.raises(RecipeError, match="keeps its vocabulary"):
        open_for_training(folder, device=CPU, vocabulary=tiny_vocabulary("xyz"), dtype="fp32")
    model = open_for_training(folder, device=CPU, dtype="fp32")
    inputs = {**model.frontend.prepare(make_batch(LENGTHS)), "labels": torch.tensor([[1, 2]] * 4)}
    model.network(**inputs).loss.backward()
    torch.optim.SGD(model.network.parameters(), lr=0.1).step()

    save_model(model, tmp_path / "new")

    model.network.eval()
    saved = open_ctc_model(str(tmp_path / "new"), device=CPU, dtype="fp32")
    before = open_ctc_model(folder, device=CPU, dtype="fp32")
    batch = make_batch(LENGTHS)
    trained = model.emissions(batch).log_probs
    assert np.allclose(saved.emissions(batch).log_probs, trained, atol=1e-4)
    assert not np.allclose(before.emissions(batch).log_probs, trained, atol=1e-2)


@pytest.mark.parametrize("family", NEW)
def test_freezing_the_encoder_leaves_the_head_of_a_new_family(tmp_path, family):
    model = open_for_training(str(save_tiny_model(tmp_path, family)), device=CPU, dtype="fp32")

    freeze(model, "encoder")

    trained = {name for name, one in model.network.named_parameters() if one.requires_grad}
    head = "encoder.out" if family == "granite" else "ctc_head"
    assert trained == {f"{head}.weight", f"{head}.bias"}


@pytest.mark.parametrize("family", NEW)
def test_a_saved_model_of_subwords_opens_with_transformers(tmp_path, family):
    folder = save_subword_model(tmp_path / "old", family)
    model = open_for_training(str(folder), device=CPU, dtype="fp32")

    save_model(model, tmp_path / "new")

    saved = open_ctc_model(str(tmp_path / "new"), device=CPU, dtype="fp32")
    batch = make_batch(LENGTHS)
    assert not (tmp_path / "new" / "vocab.json").exists()
    assert greedy_texts(saved, batch) == their_texts(tmp_path / "new", saved, batch)


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


@pytest.mark.parametrize("family", ["parakeet_ctc", "lasr_ctc", "granite_speech5_ctc"])
def test_an_architecture_that_needs_a_newer_transformers_is_named(tmp_path, family, monkeypatch):
    save_tiny_model(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": family}))
    monkeypatch.setattr("gaudi_asr_cli.core.models.folder.version", lambda _: "4.55.4")

    with pytest.raises(MachineError, match=r"which transformers 4\.55\.4 does not have") as error:
        find_model(str(tmp_path))

    assert "transformers 5" in error.value.remedy


@pytest.mark.parametrize("name", FAMILIES)
def test_the_kind_of_each_family_is_that_of_its_record(name):
    assert kind_of({"model_type": name}) == FAMILIES[name].kind

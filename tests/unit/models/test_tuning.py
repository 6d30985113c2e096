import json

import pytest
import torch
import transformers
from helpers.tiny_models import (
    FAMILIES,
    NEW_FAMILIES,
    build_tiny_network,
    make_batch,
    save_tiny_model,
    tiny_vocabulary,
)
from safetensors.torch import load_file

from gaudi_asr_cli.core.decoding.greedy import GreedyDecoder
from gaudi_asr_cli.core.devices.cpu import CpuDevice
from gaudi_asr_cli.core.errors import DataError, RecipeError
from gaudi_asr_cli.core.models.ctc.adapters import save_adapter
from gaudi_asr_cli.core.models.ctc.model import open_ctc_model
from gaudi_asr_cli.core.models.ctc.tuning import freeze, open_for_training, save_model
from gaudi_asr_cli.core.models.quiet import quiet_transformers
from gaudi_asr_cli.core.text.vocabulary import build_vocabulary, encode, read_vocabulary

CPU = CpuDevice(frozenset(), "a test's CPU")

RAW_FAMILIES = [name for name in FAMILIES if name not in NEW_FAMILIES]
"""Those of new families have heads of another name; see `test_model_families`."""


def open_tiny(tmp_path, family="wav2vec2", **arguments):
    return open_for_training(str(save_tiny_model(tmp_path, family)), device=CPU, **arguments)


def save_mms(directory, **adapters):
    """Save a model with English in its weights and an adapter for each language given."""
    save_tiny_model(directory, "mms")
    for language, seed in adapters.items():
        network = build_tiny_network("mms", tiny_vocabulary("xyz"), seed=seed)
        save_adapter(network, directory, language)
    tables = {language: tokens_of("xyz") for language in adapters}
    (directory / "vocab.json").write_text(json.dumps({"eng": tokens_of("abcdefghij"), **tables}))
    config = json.loads((directory / "tokenizer_config.json").read_text())
    (directory / "tokenizer_config.json").write_text(json.dumps({**config, "target_lang": "eng"}))
    return str(directory)


def tokens_of(letters):
    return {token: column for column, token in enumerate(tiny_vocabulary(letters).tokens)}


def test_a_trained_head_keeps_its_vocabulary_and_rows(tmp_path):
    model = open_tiny(tmp_path)

    weights = load_file(tmp_path / "model.safetensors")
    assert model.vocabulary == tiny_vocabulary()
    assert model.new_tokens == ()
    assert torch.equal(model.network.lm_head.weight, weights["lm_head.weight"])
    assert model.network.training


def test_rows_of_known_characters_are_copied_and_new_tokens_listed(tmp_path):
    new = tiny_vocabulary("acxyz")

    model = open_tiny(tmp_path, vocabulary=new)

    old, old_rows = tiny_vocabulary(), load_file(tmp_path / "model.safetensors")["lm_head.weight"]
    rows = model.network.lm_head.weight
    assert model.new_tokens == ("x", "y", "z")
    for row, token in enumerate(new.tokens):
        copied = token in old.tokens and torch.equal(rows[row], old_rows[old.tokens.index(token)])
        assert copied == (token not in "xyz")


def test_the_blank_keeps_its_row_under_another_name(tmp_path):
    new = build_vocabulary({"a": 1}, delimiter="_", unknown="<unk>", blank="<pad>")

    model = open_tiny(tmp_path, vocabulary=new)

    old_rows = load_file(tmp_path / "model.safetensors")["lm_head.weight"]
    assert model.new_tokens == ()
    assert torch.equal(model.network.lm_head.weight[new.blank], old_rows[tiny_vocabulary().blank])
    assert model.network.config.pad_token_id == new.blank


def test_random_rows_depend_on_the_seed_alone(tmp_path):
    save_tiny_model(tmp_path, head=False)

    def rows(seed):
        torch.rand(seed + 3)
        model = open_for_training(
            str(tmp_path), device=CPU, vocabulary=tiny_vocabulary("xyz"), seed=seed
        )
        return model.network.lm_head.weight

    first = rows(1)
    assert torch.equal(first, rows(1))
    assert not torch.equal(first, rows(2))


def test_a_pretrained_model_needs_a_vocabulary(tmp_path):
    with pytest.raises(RecipeError, match="no vocabulary of its own"):
        open_for_training(str(save_tiny_model(tmp_path, head=False)), device=CPU)


@pytest.mark.parametrize("family", RAW_FAMILIES)
def test_each_family_trains_two_steps_and_gives_the_same_emissions_once_saved(tmp_path, family):
    save_tiny_model(tmp_path / "pretrained", family, head=False)
    vocabulary = tiny_vocabulary("abc")
    model = open_for_training(
        str(tmp_path / "pretrained"),
        device=CPU,
        vocabulary=vocabulary,
        overrides={"ctc_zero_infinity": True, "mask_time_prob": 0.0},
    )
    batch = make_batch([8000, 6000])
    inputs = model.frontend.prepare(batch)
    labels = torch.tensor([encode(vocabulary, "abc"), encode(vocabulary, "cab")])
    optimizer = torch.optim.SGD(model.network.parameters(), lr=1e-3)

    losses = []
    for _ in range(2):
        loss = model.network(**inputs, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    save_model(model, tmp_path / "tuned")
    again = open_ctc_model(str(tmp_path / "tuned"), device=CPU, dtype="fp32")

    assert losses[1] != losses[0]
    assert all(0 < loss < float("inf") for loss in losses)
    reloaded, expected = again.emissions(batch), model.emissions(batch)
    assert reloaded.log_probs.tobytes() == expected.log_probs.tobytes()


def test_overrides_change_the_configuration(tmp_path):
    model = open_tiny(tmp_path, overrides={"layerdrop": 0.0, "ctc_loss_reduction": "mean"})

    assert model.network.config.layerdrop == 0.0
    assert model.network.config.ctc_loss_reduction == "mean"


def test_an_unknown_override_is_rejected_with_a_suggestion(tmp_path):
    with pytest.raises(RecipeError, match="layer_drop") as error:
        open_tiny(tmp_path, overrides={"layer_drop": 0.1})
    assert "layerdrop" in error.value.remedy


def test_disabling_a_field_that_a_family_lacks_is_allowed(tmp_path):
    open_tiny(tmp_path / "off", "sew-d", overrides={"layerdrop": 0.0})

    with pytest.raises(RecipeError, match="layerdrop"):
        open_tiny(tmp_path / "on", "sew-d", overrides={"layerdrop": 0.1})


HEADS = ("lm_head.", "ctc_head.", "encoder.out.")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("parts", ["none", "feature-encoder", "encoder"])
def test_freezing_leaves_exactly_the_other_weights_trainable(tmp_path, family, parts):
    model = open_tiny(tmp_path, family)

    freeze(model, parts)

    frozen = {n for n, p in model.network.named_parameters() if not p.requires_grad}
    stems = {"none": "nothing", "feature-encoder": "feature_extractor", "encoder": "."}
    expected = {
        name
        for name, _ in model.network.named_parameters()
        if stems[parts] in name and not name.startswith(HEADS)
    }
    assert frozen == expected


def test_an_unknown_part_to_freeze_is_rejected(tmp_path):
    with pytest.raises(RecipeError, match="decoder"):
        freeze(open_tiny(tmp_path), "decoder")


def test_a_saved_model_has_exactly_the_files_that_both_transformers_read(tmp_path):
    save_model(open_tiny(tmp_path / "a"), tmp_path / "b")

    assert {path.name for path in (tmp_path / "b").iterdir()} == {
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
        "special_tokens_map.json",
        "tokenizer_config.json",
        "vocab.json",
    }


def test_weights_can_be_saved_in_bf16(tmp_path):
    model = open_tiny(tmp_path / "a")

    save_model(model, tmp_path / "b", dtype="bf16")

    assert load_file(tmp_path / "b/model.safetensors")["lm_head.weight"].dtype == torch.bfloat16
    assert model.network.lm_head.weight.dtype == torch.float32
    again = open_for_training(str(tmp_path / "b"), device=CPU)
    assert next(again.network.parameters()).dtype == torch.float32


@pytest.mark.parametrize("family", RAW_FAMILIES)
def test_plain_transformers_decodes_the_same_text_with_a_saved_model(tmp_path, family):
    model = open_tiny(tmp_path / "a", family, vocabulary=tiny_vocabulary("abcdexyz"))
    # The unknown token is nothing in our text and [UNK] in theirs: make the model never emit it.
    model.network.lm_head.bias.data[model.vocabulary.unknown] = -100.0
    save_model(model, tmp_path / "b")
    batch = make_batch([24_000])
    emissions = open_ctc_model(str(tmp_path / "b"), device=CPU, dtype="fp32").emissions(batch)
    ours = GreedyDecoder(model.vocabulary).decode(emissions, 0, batch.utterances[0]).text

    with quiet_transformers():
        processor = transformers.AutoProcessor.from_pretrained(tmp_path / "b")
        network = transformers.AutoModelForCTC.from_pretrained(tmp_path / "b")
    inputs = processor(batch.samples[0], sampling_rate=16_000, return_tensors="pt")
    with torch.inference_mode():
        theirs = processor.batch_decode(network(**inputs).logits.argmax(-1))[0]

    assert len(set(ours)) > 3
    assert ours == theirs


def test_a_language_has_its_own_adapter_head_and_vocabulary(tmp_path):
    name = save_mms(tmp_path, deu=5, fra=6)
    batch = make_batch([8000])

    german = open_ctc_model(name, device=CPU, dtype="fp32", language="deu")
    french = open_ctc_model(name, device=CPU, dtype="fp32", language="fra")
    english = open_ctc_model(name, device=CPU, dtype="fp32")

    assert "x" in german.vocabulary.tokens
    assert "x" not in english.vocabulary.tokens
    assert german.emissions(batch).log_probs.shape == french.emissions(batch).log_probs.shape
    assert not (german.emissions(batch).log_probs == french.emissions(batch).log_probs).all()


def test_transformers_loads_the_same_weights_for_a_language(tmp_path):
    name = save_mms(tmp_path, deu=5)

    ours = open_ctc_model(name, device=CPU, dtype="fp32", language="deu").network.state_dict()

    with quiet_transformers():
        theirs = transformers.AutoModelForCTC.from_pretrained(
            name, target_lang="deu", ignore_mismatched_sizes=True
        ).state_dict()
    assert {key for key in theirs if not torch.equal(ours[key], theirs[key])} == set()


def test_a_language_without_adapter_is_rejected_with_those_available(tmp_path):
    name = save_mms(tmp_path, deu=5)

    with pytest.raises(DataError, match=r"'ita' \(found: deu\)"):
        open_ctc_model(name, device=CPU, language="ita")


def test_a_model_without_adapters_rejects_a_language(tmp_path):
    with pytest.raises(DataError, match="no language adapters"):
        open_ctc_model(str(save_tiny_model(tmp_path)), device=CPU, language="deu")


def test_a_new_language_trains_a_new_adapter_and_nothing_else(tmp_path):
    name = save_mms(tmp_path / "mms", deu=5)
    model = open_for_training(name, device=CPU, language="ita", vocabulary=tiny_vocabulary("uvw"))

    freeze(model, "all-but-adapter")
    save_model(model, tmp_path / "tuned")

    trainable = {n for n, p in model.network.named_parameters() if p.requires_grad}
    assert trainable == set(load_file(tmp_path / "tuned/adapter.ita.safetensors"))
    assert all("adapter_layer" in name or "lm_head" in name for name in trainable)
    assert set(model.new_tokens) == set(model.vocabulary.tokens)
    again = open_ctc_model(str(tmp_path / "tuned"), device=CPU, dtype="fp32", language="ita")
    without = open_ctc_model(str(tmp_path / "tuned"), device=CPU, dtype="fp32")
    batch = make_batch([8000])
    assert again.vocabulary == without.vocabulary == read_vocabulary(tmp_path / "tuned")
    assert again.emissions(batch).log_probs.tobytes() == model.emissions(batch).log_probs.tobytes()
    assert (again.emissions(batch).log_probs == without.emissions(batch).log_probs).all()


def test_freezing_all_but_the_adapter_of_a_model_without_one_is_rejected(tmp_path):
    with pytest.raises(DataError, match="no language adapters"):
        freeze(open_tiny(tmp_path), "all-but-adapter")

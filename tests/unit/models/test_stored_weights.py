"""Models that open from their files, without transformers, and those that are left to it."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
import transformers
from helpers.tiny_corpus import write_corpus
from helpers.tiny_models import FAMILIES, make_batch, save_tiny_model
from helpers.tiny_seq2seq import save_tiny_whisper
from safetensors.torch import load_file, save_file

from gaudi_asr_cli.core.devices.cpu import CpuDevice
from gaudi_asr_cli.core.devices.int16 import can_multiply_int16
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.models.cpu.ctc import pack
from gaudi_asr_cli.core.models.cpu.ctc_layout import has_known_ctc_fields
from gaudi_asr_cli.core.models.cpu.linear import can_fuse
from gaudi_asr_cli.core.models.cpu.whisper_generation import pack_whisper
from gaudi_asr_cli.core.models.cpu.whisper_layout import has_known_whisper_fields
from gaudi_asr_cli.core.models.ctc.model import open_ctc_model
from gaudi_asr_cli.core.models.network import NetworkSource
from gaudi_asr_cli.core.models.seq2seq.generation import Generation
from gaudi_asr_cli.core.models.seq2seq.model import open_seq2seq_model

CPU = CpuDevice(frozenset(), "a test's CPU")
PACKED = [
    *("wav2vec2", "wav2vec2-layer-norm", "mms", "hubert", "hubert-layer-norm", "wavlm"),
    *("wavlm-layer-norm", "unispeech", "unispeech-layer-norm", "unispeech-sat", "data2vec-audio"),
]
OLD_NAMES = {
    "parametrizations.weight.original0": "weight_g",
    "parametrizations.weight.original1": "weight_v",
}
IMPORTS = """
import sys
from gaudi_asr_cli.cli.app import main
try:
    main(["infer", *sys.argv[1:], "--quiet", "--device", "cpu"])
except SystemExit as end:
    assert not end.code, end.code
print(*(name for name in ("transformers", "transformers.modeling_utils", "torch._dynamo", "sympy",
                          "datasets", "pandas", "scipy") if name in sys.modules))
"""


def open_tiny(folder, dtype="fp32", language=None):
    return open_ctc_model(str(folder), device=CPU, dtype=dtype, language=language)


def emit(packed) -> np.ndarray:
    return packed.emissions(make_batch([16_000, 3_000])).log_probs


def pack_both(folder, precision="fp32"):
    """Return emissions packed from the files, and from transformers' network."""
    model = open_tiny(folder)
    stored = emit(pack(model, precision))
    assert not model.source.is_loaded
    assert model.network is not None
    return stored, emit(pack(model, precision))


def edit_config(folder, **fields) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


@pytest.fixture
def never_loaded(monkeypatch):
    """Fail if transformers loads a network."""

    def load(*_, **__):
        raise AssertionError("transformers loaded a network")

    monkeypatch.setattr("gaudi_asr_cli.core.models.ctc.model.load_network", load)
    monkeypatch.setattr("gaudi_asr_cli.core.models.seq2seq.model.load_network", load)


@pytest.mark.parametrize("model", ["demo", "whisper"])
def test_transcribing_imports_no_networks_of_transformers(tmp_path, model):
    corpus = write_corpus(tmp_path / "corpus")
    name = save_tiny_whisper(tmp_path / "whisper") if model == "whisper" else model
    words = [str(corpus.with_name("u00.wav")), "--model", str(name), "--format", "jsonl"]

    done = subprocess.run(
        [sys.executable, "-c", IMPORTS, *words], capture_output=True, text=True, check=False
    )

    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert json.loads(lines[0])["text"] is not None
    assert lines[1:] == [""]


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("family", PACKED)
def test_stored_weights_give_the_emissions_of_the_network(tmp_path, family, dtype):
    if dtype == "bf16" and not can_fuse(torch.bfloat16):
        pytest.skip("this processor has no bf16")

    stored, loaded = pack_both(save_tiny_model(tmp_path, family), dtype)

    assert np.array_equal(stored, loaded)


@pytest.mark.parametrize("precision", ["int16", "int8"])
def test_stored_weights_give_the_emissions_of_the_network_in_integers(tmp_path, precision):
    if not can_multiply_int16():
        pytest.skip("this processor has no AVX2")

    stored, loaded = pack_both(save_tiny_model(tmp_path, "wav2vec2"), precision)

    assert np.array_equal(stored, loaded)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_stored_in_16_bits_are_read_in_32(tmp_path, dtype):
    path = save_tiny_model(tmp_path) / "model.safetensors"
    halves = {name: weight.to(dtype) for name, weight in load_file(path).items()}
    save_file(halves, path, metadata={"format": "pt"})

    stored, loaded = pack_both(tmp_path)

    assert np.array_equal(stored, loaded)


def test_weights_with_the_old_names_of_a_weight_norm_are_read(tmp_path):
    path = save_tiny_model(tmp_path) / "model.safetensors"
    expected = emit(pack(open_tiny(tmp_path)))
    renamed = {}
    for name, weight in load_file(path).items():
        for new, old in OLD_NAMES.items():
            name = name.replace(new, old)
        renamed[name] = weight
    save_file(renamed, path, metadata={"format": "pt"})

    stored, loaded = pack_both(tmp_path)

    assert np.array_equal(stored, expected)
    assert np.array_equal(loaded, expected)


def test_weights_in_shards_are_read(tmp_path, never_loaded):
    save_tiny_model(tmp_path)
    expected = emit(pack(open_tiny(tmp_path)))
    shard(tmp_path)

    stored = emit(pack(open_tiny(tmp_path)))

    assert np.array_equal(stored, expected)


def shard(folder) -> list:
    """Split the weights into two files and an index."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    files = [folder / f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    index = {name: files[place % 2].name for place, name in enumerate(sorted(weights))}
    for file in files:
        part = {name: weights[name] for name in weights if index[name] == file.name}
        save_file(part, file, metadata={"format": "pt"})
    content = {"metadata": {"total_size": 1}, "weight_map": index}
    (folder / "model.safetensors.index.json").write_text(json.dumps(content))
    return files


def test_a_missing_shard_is_an_error(tmp_path):
    save_tiny_model(tmp_path)
    shard(tmp_path)[0].unlink()

    with pytest.raises(DataError):
        open_tiny(tmp_path)


def test_weights_of_no_index_are_not_read(tmp_path, never_loaded):
    path = save_tiny_model(tmp_path) / "model.safetensors"
    expected = emit(pack(open_tiny(tmp_path)))
    wrong = {name: torch.zeros_like(weight) for name, weight in load_file(path).items()}
    save_file(wrong, tmp_path / "another.safetensors", metadata={"format": "pt"})

    assert np.array_equal(emit(pack(open_tiny(tmp_path))), expected)


def test_a_language_adapter_replaces_the_stored_weights(tmp_path, never_loaded):
    path = save_tiny_model(tmp_path, "mms") / "model.safetensors"
    weights = load_file(path)
    adapter = {
        name: torch.full_like(weight, 0.5)
        for name, weight in weights.items()
        if "adapter_layer" in name or name.startswith("lm_head")
    }
    save_file(adapter, tmp_path / "adapter.deu.safetensors", metadata={"format": "pt"})
    without = emit(pack(open_tiny(tmp_path)))

    adapted = emit(pack(open_tiny(tmp_path, language="deu")))

    save_file({**weights, **adapter}, path, metadata={"format": "pt"})
    assert np.array_equal(adapted, emit(pack(open_tiny(tmp_path))))
    assert not np.array_equal(adapted, without)


def test_a_missing_language_adapter_is_named(tmp_path):
    save_tiny_model(tmp_path, "mms")

    with pytest.raises(DataError, match="no adapter for the language 'deu'"):
        open_tiny(tmp_path, language="deu")


@pytest.mark.parametrize(
    "fields",
    [
        {"a_field_of_the_future": 1},
        {"pruned_heads": {"0": [1]}},
    ],
)
def test_a_configuration_with_an_unknown_field_is_left_to_transformers(
    tmp_path, never_loaded, fields
):
    edit_config(save_tiny_model(tmp_path), **fields)

    with pytest.raises(AssertionError, match="transformers loaded"):
        open_tiny(tmp_path)


@pytest.mark.parametrize(
    "fields",
    [
        {"hidden_size": "wide"},
        {"num_attention_heads": 3},
        {"vocab_size": 99},
        {"conv_kernel": [10, 3]},
        {"conv_kernel": 10},
        {"feat_extract_norm": "batch"},
        {"hidden_act": "gelu_of_the_future"},
        {"conv_dim": [8, 8, 9]},
    ],
)
def test_a_configuration_that_does_not_fit_the_weights_is_an_error(tmp_path, fields):
    edit_config(save_tiny_model(tmp_path), **fields)

    with pytest.raises(DataError) as error:
        pack(open_tiny(tmp_path))

    assert error.value.remedy


def test_the_threads_of_a_small_model_are_known_without_its_network(tmp_path, never_loaded):
    save_tiny_model(tmp_path)
    stored = sum(weight.numel() for weight in load_file(tmp_path / "model.safetensors").values())

    assert open_tiny(tmp_path).parameter_count == stored


def test_a_network_is_loaded_once_and_in_the_chosen_dtype(tmp_path):
    model = open_tiny(save_tiny_model(tmp_path), "bf16")

    assert model.network is model.network
    assert next(model.network.parameters()).dtype == torch.bfloat16


@pytest.mark.parametrize("prefix", sorted({FAMILIES[name][0] for name in PACKED}))
def test_every_field_of_a_packed_family_is_known(prefix):
    config = getattr(transformers, f"{prefix}Config")()

    assert has_known_ctc_fields(json.loads(config.to_json_string(use_diff=True)))


def test_every_field_of_a_whisper_is_known():
    config = transformers.WhisperConfig()

    assert has_known_whisper_fields(json.loads(config.to_json_string(use_diff=True)))


@pytest.mark.parametrize("multilingual", [True, False])
@pytest.mark.parametrize("times", [True, False])
def test_the_stored_weights_of_a_whisper_give_its_text(tmp_path, never_loaded, multilingual, times):
    save_tiny_whisper(tmp_path, multilingual=multilingual)
    model = open_seq2seq_model(str(tmp_path), device=CPU, dtype="fp32")
    inputs = model.frontend.prepare(make_batch([32_000, 9_000, 20_003], seed=4))
    config = Generation(max_tokens=9, timestamps=times)
    stored = pack_whisper(model).generate_from(inputs, config)

    network = transformers.WhisperForConditionalGeneration.from_pretrained(tmp_path).eval()
    loaded = dataclasses.replace(model, source=NetworkSource(network))
    assert stored == loaded.generate_from(inputs, config)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("config.json", {"activation_function": "relu"}),
        ("config.json", {"scale_embedding": True}),
        ("config.json", {"tie_word_embeddings": False}),
        ("config.json", {"a_field_of_the_future": 1}),
        ("generation_config.json", {"suppress_tokens": "none"}),
        ("generation_config.json", {"eos_token_id": [3, 4]}),
    ],
)
def test_an_unusual_whisper_is_left_to_transformers(tmp_path, never_loaded, name, fields):
    path = save_tiny_whisper(tmp_path) / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))

    with pytest.raises(AssertionError, match="transformers loaded"):
        open_seq2seq_model(str(tmp_path), device=CPU, dtype="fp32")

"""Folders that are no model, or not a whole one: each has its own sentence and remedy."""

import json
import os
import shutil

import pytest
from helpers.tiny_models import save_tiny_model
from helpers.tiny_seq2seq import save_tiny_whisper
from safetensors.torch import load_file, save_file

from gaudi_asr_cli.core.devices import open_device
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.inference.options import InferenceOptions
from gaudi_asr_cli.core.inference.recognizer import open_recognizer
from gaudi_asr_cli.core.models.ctc.model import open_ctc_model
from gaudi_asr_cli.core.models.folder import find_model
from gaudi_asr_cli.core.models.notes import notes_on


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return save_tiny_model(tmp_path_factory.mktemp("original") / "model")


@pytest.fixture(scope="module")
def original_whisper(tmp_path_factory):
    return save_tiny_whisper(tmp_path_factory.mktemp("original") / "whisper")


@pytest.fixture
def model(original, tmp_path):
    return shutil.copytree(original, tmp_path / "model")


@pytest.fixture
def whisper(original_whisper, tmp_path):
    return shutil.copytree(original_whisper, tmp_path / "whisper")


def edit_config(model, **fields):
    path = model / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def reject(model, kind=None):
    with pytest.raises(DataError) as error:
        find_model(str(model), kind=kind)
    assert error.value.remedy
    return error.value


def leave_only(model, *kept):
    for path in model.iterdir():
        if path.name not in kept:
            path.unlink()


@pytest.mark.parametrize("kind", ["LORA", "IA3"])
def test_an_adapter_names_its_base(model, kind):
    leave_only(model)
    content = {"base_model_name_or_path": "openai/whisper-small", "peft_type": kind}
    (model / "adapter_config.json").write_text(json.dumps(content))

    assert f"a {kind} adapter of openai/whisper-small" in reject(model).message


def split_weights(model, count=3):
    """Split the weights into shards with an index."""
    weights = load_file(model / "model.safetensors")
    (model / "model.safetensors").unlink()
    names = [f"model-{one + 1:05}-of-{count:05}.safetensors" for one in range(count)]
    places = {name: names[index % count] for index, name in enumerate(weights)}
    for name in names:
        part = {key: weights[key] for key, place in places.items() if place == name}
        save_file(part, model / name, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": places}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    return names


@pytest.mark.parametrize("lost", [0, 2])
@pytest.mark.parametrize("indexed", [True, False])
def test_a_missing_shard_is_named(model, lost, indexed):
    names = split_weights(model)
    (model / names[lost]).unlink()
    if not indexed:
        (model / "model.safetensors.index.json").unlink()

    message = reject(model).message

    assert f"lacks {names[lost]} of the 3 shards" in message


def test_shards_without_their_index_ask_for_it(model):
    split_weights(model)
    (model / "model.safetensors.index.json").unlink()

    assert "lacks model.safetensors.index.json" in reject(model).message


@pytest.mark.parametrize("places", [["x"], {"a": 1}, {"a": "../x.safetensors"}, {"a": "/x"}])
def test_an_index_that_gives_no_files_beside_it_is_named(model, places):
    split_weights(model)
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))

    assert "model.safetensors.index.json" in reject(model).message


def put_checkpoints(model, root):
    for step in (500, 1000, 90):
        shutil.copytree(model, root / f"checkpoint-{step}")


@pytest.mark.parametrize("inside", ["", "checkpoints"])
def test_a_folder_of_checkpoints_names_the_newest(model, tmp_path, inside):
    put_checkpoints(model, tmp_path / "run" / inside)

    error = reject(tmp_path / "run")

    assert "3 checkpoints" in error.message
    assert error.remedy.endswith("checkpoint-1000.")
    assert "newest" in error.remedy


def test_a_folder_of_checkpoints_names_the_best_if_that_is_known(model, tmp_path):
    put_checkpoints(model, tmp_path / "run")
    state = {"best_model_checkpoint": "/elsewhere/run/checkpoint-500"}
    (tmp_path / "run/checkpoint-1000/trainer_state.json").write_text(json.dumps(state))

    remedy = reject(tmp_path / "run").remedy

    assert remedy.endswith("checkpoint-500.")
    assert "best" in remedy


def test_a_folder_of_models_names_one(model):
    inner = model.rename(model.parent / "digits")

    error = reject(model.parent)

    assert "1 of its folders hold one (digits)" in error.message
    assert str(inner) in error.remedy


def test_an_empty_folder_is_empty(tmp_path):
    assert "is empty" in reject(tmp_path).message


@pytest.mark.parametrize("keeps_config", [True, False])
@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        ("pytorch_model.bin", "pickles"),
        ("model.pt", "pickles"),
        ("last.ckpt", "pickles"),
        ("parakeet.nemo", "NeMo archive"),
        ("model.gguf", "GGUF"),
        ("ggml-base.en.bin", "GGML"),
        ("model.onnx", "ONNX"),
        ("tf_model.h5", "TensorFlow"),
        ("flax_model.msgpack", "Flax"),
    ],
)
def test_weights_of_another_format_are_named(model, file, sentence, keeps_config):
    leave_only(model, *(["config.json"] if keeps_config else []))
    (model / file).write_bytes(b"\x80")

    message = reject(model).message

    assert sentence in message
    assert file in message


@pytest.mark.parametrize("beside", ["vocabulary.json", "vocabulary.txt"])
def test_a_ctranslate2_model_is_no_pickle(tmp_path, beside):
    (tmp_path / "model.bin").touch()
    (tmp_path / "config.json").write_text('{"alignment_heads": [[1, 0]], "lang_ids": [50259]}')
    (tmp_path / beside).write_text("[]")

    error = reject(tmp_path)

    assert "CTranslate2" in error.message
    assert "faster-whisper" in error.message
    assert "converted from" in error.remedy


@pytest.mark.parametrize("file", ["model.gguf", "x.nemo", "model.safetensors"])
def test_a_file_in_a_folders_place_is_explained(model, file):
    (model / file).touch()

    error = reject(model / file)

    assert file in error.message
    assert str(model) in error.remedy or "Name the" in error.remedy


def test_weights_without_a_configuration_ask_for_it(model):
    (model / "config.json").unlink()

    error = reject(model)

    assert "weights but no config.json" in error.message
    assert "Copy config.json" in error.remedy


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_a_dangling_link_is_named_with_its_target(model, file):
    (model / file).unlink()
    (model / file).symlink_to("../../blobs/0123abcd")

    error = reject(model)

    assert f"{file} is a link to ../../blobs/0123abcd, which is not there" in error.message
    assert "cp -rL" in error.remedy


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "merges.txt", "x"])
def test_a_pipe_among_the_files_is_not_waited_for(model, file):
    (model / file).unlink(missing_ok=True)
    os.mkfifo(model / file)

    assert f"{file} is a pipe or a device" in reject(model).message


def test_a_device_in_place_of_the_configuration_is_not_read(model):
    (model / "config.json").unlink()
    (model / "config.json").symlink_to("/dev/zero")

    assert "config.json is a pipe or a device" in reject(model).message


def test_a_huge_file_is_not_read(model):
    with (model / "tokenizer.json").open("wb") as file:
        file.truncate(1 << 40)

    assert "tokenizer.json has 1,099,512 MB" in reject(model).message


def test_a_pointer_of_git_lfs_asks_for_the_file(model):
    (model / "model.safetensors").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 967102601\n"
    )

    error = reject(model)

    assert "pointer of Git LFS" in error.message
    assert "git lfs pull" in error.remedy


def test_weights_of_another_name_are_named(model):
    (model / "model.safetensors").rename(model / "weights.safetensors")

    error = reject(model)

    assert "but weights.safetensors" in error.message
    assert "Rename" in error.remedy


@pytest.mark.parametrize(
    ("section", "method"),
    [
        ({"quant_method": "gptq", "bits": 4}, "GPTQ"),
        ({"quant_method": "awq"}, "AWQ"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bitsandbytes"),
        ({"load_in_8bit": True}, "bitsandbytes"),
        ({"quant_method": "fbgemm_fp8"}, "fbgemm_fp8"),
    ],
)
def test_a_quantised_model_is_rejected_with_its_method(model, section, method):
    edit_config(model, quantization_config=section)

    error = reject(model)

    assert f"quantised with {method}" in error.message
    assert "--int8" in error.remedy


@pytest.mark.parametrize("file", ["quantize_config.json", "quant_config.json"])
def test_the_files_of_older_quantisers_are_found(model, file):
    (model / file).write_text('{"bits": 4}')

    assert f"quantised ({file})" in reject(model).message


def test_a_text_classifier_is_no_recogniser(model):
    edit_config(model, model_type="bert", architectures=["BertForSequenceClassification"])

    error = reject(model)

    assert "BertForSequenceClassification" in error.message
    assert "'bert'" in error.message


def test_an_audio_classifier_has_no_ctc_head(model):
    weights = load_file(model / "model.safetensors")
    kept = {name: one for name, one in weights.items() if not name.startswith("lm_head")}
    save_file(kept, model / "model.safetensors", metadata={"format": "pt"})
    edit_config(model, architectures=["Wav2Vec2ForSequenceClassification"])

    with pytest.raises(DataError, match="a model for audio classification"):
        open_ctc_model(str(model), device=open_device("cpu"))


def test_a_whisper_that_classifies_has_no_decoder(whisper):
    edit_config(whisper, architectures=["WhisperForAudioClassification"])

    assert "no decoder of text" in reject(whisper, kind="seq2seq").message


def test_a_configuration_of_no_architecture_is_named(model):
    path = model / "config.json"
    content = json.loads(path.read_text())
    del content["model_type"]
    path.write_text(json.dumps(content))

    assert "names no model_type" in reject(model).message


@pytest.mark.parametrize(
    "fields",
    [
        {"num_attention_heads": 0},
        {"num_hidden_layers": 10_000_000},
        {"num_hidden_layers": 10**40},
        {"num_hidden_layers": -1},
        {"num_hidden_layers": True},
        {"hidden_size": 1 << 20},
        {"hidden_size": 16.5},
        {"intermediate_size": "16"},
        {"vocab_size": 10**9},
        {"conv_stride": [5, 0, 4]},
        {"conv_kernel": [10, 10**9, 3]},
        {"conv_dim": [8, 8, [8]]},
        {"num_conv_pos_embeddings": 10**9},
        {"num_conv_pos_embedding_groups": 0},
        {"adapter_attn_dim": 10**9},
    ],
)
def test_an_absurd_size_is_named(model, fields):
    edit_config(model, **fields)
    (name,) = fields

    message = reject(model).message

    assert f"config.json: {name} is" in message


@pytest.mark.parametrize(
    "fields", [{"decoder_layers": 10**7}, {"encoder_attention_heads": 0}, {"d_model": 10**6}]
)
def test_an_absurd_size_of_a_whisper_is_named(whisper, fields):
    edit_config(whisper, **fields)

    assert f"config.json: {next(iter(fields))} is" in reject(whisper).message


def test_sizes_of_nested_configurations_are_checked(model):
    encoder = json.loads((model / "config.json").read_text())
    edit_config(
        model,
        model_type="speech-encoder-decoder",
        encoder={**encoder, "num_hidden_layers": 0},
        decoder={"model_type": "bart", "add_cross_attention": True},
    )

    assert "num_hidden_layers is 0" in reject(model).message


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
@pytest.mark.parametrize("mode", ["usual", "transformers"])
@pytest.mark.parametrize("kind", ["ctc", "whisper"])
def test_a_weight_that_is_not_finite_is_named(model, whisper, value, mode, kind):
    folder = model if kind == "ctc" else whisper
    weights = load_file(folder / "model.safetensors")
    name = next(one for one in weights if one.endswith("layers.1.fc1.weight" if kind == "whisper"
                else "layers.1.attention.k_proj.weight"))  # fmt: skip
    weights[name][0, 0] = value
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(DataError, match="not finite") as error:
        open_recognizer(str(folder), open_device("cpu"), InferenceOptions(mode=mode))

    assert name in error.value.message


def notes(model, **options):
    return [note.message for note in notes_on(find_model(str(model), kind=None), **options)]


def test_a_language_model_that_is_not_used_is_noted(model, whisper):
    for folder in (model, whisper):
        (folder / "language_model").mkdir()
        (folder / "language_model/5gram.bin").touch()

    assert "n-gram language model (language_model/)" in notes(model)[0]
    assert notes(model, uses_lm=True) == []
    assert notes(whisper) == []


@pytest.mark.parametrize("file", ["lm.arpa", "kenlm.klm"])
def test_a_language_model_beside_the_weights_is_noted(model, file):
    (model / file).touch()

    assert file in notes(model)[0]


def test_missing_settings_of_the_features_are_noted(model):
    settings = (model / "preprocessor_config.json").rename(model / "other.json")
    assert "no preprocessor_config.json" in notes(model)[0]
    assert "one folder up" not in notes(model)[0]

    settings.rename(model.parent / "preprocessor_config.json")
    assert "one folder up" in notes(model)[0]


def test_a_whole_folder_has_no_notes(model, whisper):
    assert notes(model) == notes(whisper) == []


def test_a_tokenizer_one_folder_up_is_named(whisper):
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json"):
        (whisper / name).rename(whisper.parent / name)

    with pytest.raises(DataError, match="one folder up"):
        open_recognizer(str(whisper), open_device("cpu"))


@pytest.mark.parametrize("mode", ["usual", "transformers"])
@pytest.mark.parametrize("kind", ["ctc", "whisper"])
def test_a_head_of_another_size_than_the_configuration_is_named(model, whisper, mode, kind):
    folder = model if kind == "ctc" else whisper
    size = json.loads((folder / "config.json").read_text())["vocab_size"]
    edit_config(folder, vocab_size=size + 8)

    with pytest.raises(DataError, match=rf" is {size + 8} x 16.*such weights") as error:
        open_recognizer(str(folder), open_device("cpu"), InferenceOptions(mode=mode))

    assert "vocab_size" in error.value.remedy

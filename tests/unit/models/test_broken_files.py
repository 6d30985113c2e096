"""A broken JSON file of a model is named, whatever is wrong with it."""

import shutil

import pytest
from helpers.tiny_models import save_tiny_model

from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.models.features import read_settings
from gaudi_asr_cli.core.models.folder import JSON_FILES, find_model

BROKEN = {
    "empty": b"",
    "no JSON": b"{'a': 1}",
    "cut off": b'{"a": ',
    "a list": b"[1, 2]",
    "a number": b"7",
    "null": b"null",
    "binary": bytes(range(256)),
    "a mark": b'\xef\xbb\xbf{"a": 1}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "deep": b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "rather deep": b'{"a": ' + b"[" * 300 + b"]" * 300 + b"}",
    "digits": b'{"a": ' + b"7" * 5000 + b"}",
}


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return save_tiny_model(tmp_path_factory.mktemp("original") / "model")


@pytest.fixture
def model(original, tmp_path):
    return shutil.copytree(original, tmp_path / "model")


@pytest.mark.parametrize("what", BROKEN)
@pytest.mark.parametrize("name", [*JSON_FILES, "adapter_config.json"])
def test_a_broken_file_is_named(name, what, model):
    (model / name).write_bytes(BROKEN[what])

    with pytest.raises(DataError) as error:
        find_model(str(model), kind=None)

    assert str(model / name) in error.value.message
    assert error.value.remedy


@pytest.mark.parametrize("name", [*JSON_FILES, "adapter_config.json"])
def test_a_folder_in_a_files_place_is_named(name, model):
    (model / name).unlink(missing_ok=True)
    (model / name).mkdir()

    with pytest.raises(DataError) as error:
        find_model(str(model), kind=None)

    assert str(model / name) in error.value.message


@pytest.mark.parametrize("kept", ["config.json", "model.safetensors"])
def test_an_adapter_is_no_whole_model(kept, model):
    for path in model.iterdir():
        path.unlink(missing_ok=path.name == kept)
    (model / "adapter_config.json").write_text('{"base_model_name_or_path": "somewhere/else"}')

    with pytest.raises(DataError, match="not a whole model") as error:
        find_model(str(model))

    assert "merge_and_unload" in error.value.remedy


def test_settings_of_a_feature_extractor_that_are_no_object_are_named(tmp_path):
    (tmp_path / "preprocessor_config.json").write_text("[]")

    with pytest.raises(DataError, match="preprocessor_config"):
        read_settings(tmp_path, {})

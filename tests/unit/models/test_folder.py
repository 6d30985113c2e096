import time

import pytest
from helpers.tiny_models import save_tiny_model

from gaudi_asr_cli.core.errors import DataError, UnreachableError
from gaudi_asr_cli.core.models import folder as folder_module
from gaudi_asr_cli.core.models.folder import ModelFolder, find_model, has_trained_head

NOWHERE = "gaudi-asr-tests/no-such-model"


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    """An empty hub cache instead of the user's."""
    import huggingface_hub.constants as constants

    cache = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return cache


def cache_model(cache, name):
    """Save a model in the layout of the hub cache."""
    root = cache / f"models--{name.replace('/', '--')}"
    (root / "refs").mkdir(parents=True)
    (root / "refs/main").write_text("0123abcd")
    return save_tiny_model(root / "snapshots/0123abcd")


def test_an_unreachable_id_names_the_cache_and_a_remedy(hub_cache):
    started = time.perf_counter()

    with pytest.raises(UnreachableError) as error:
        find_model(NOWHERE)

    assert time.perf_counter() - started < 10
    assert error.value.exit_code == 6
    assert NOWHERE in error.value.message
    assert str(hub_cache) in error.value.message
    assert "--model demo" in error.value.remedy
    assert "hf download" in error.value.remedy


def test_a_cached_model_needs_no_network(hub_cache):
    snapshot = cache_model(hub_cache, NOWHERE)

    assert find_model(NOWHERE) == ModelFolder(NOWHERE, snapshot)


def test_a_cached_model_without_the_adapter_can_be_fine_tuned_for_the_language(hub_cache):
    snapshot = cache_model(hub_cache, NOWHERE)

    assert find_model(NOWHERE, language="ita").path == snapshot


def test_a_cache_without_weights_is_ignored(hub_cache):
    for weights in cache_model(hub_cache, NOWHERE).glob("*.safetensors"):
        weights.unlink()

    with pytest.raises(UnreachableError):
        find_model(NOWHERE)


def test_the_demo_model_is_in_the_package(tmp_path, monkeypatch):
    save_tiny_model(tmp_path)
    monkeypatch.setattr(folder_module, "DEMO_FOLDER", tmp_path)

    assert find_model("demo") == ModelFolder("demo", tmp_path)


def test_a_model_folder_takes_precedence_over_its_subfolder_named_model(tmp_path):
    save_tiny_model(tmp_path)
    save_tiny_model(tmp_path / "model")

    assert find_model(str(tmp_path)).path == tmp_path


@pytest.mark.parametrize("name", ["no/such/folder", "./nothing", "/nowhere/model", "a b", ""])
def test_a_name_that_is_neither_folder_nor_id_is_not_looked_up_on_the_hub(name):
    with pytest.raises(DataError, match="neither a model folder nor a hub id"):
        find_model(name)


def test_a_folder_without_configuration_is_rejected(tmp_path):
    with pytest.raises(DataError, match=r"no config\.json"):
        find_model(str(tmp_path))


def test_pickled_weights_are_rejected_and_never_loaded(tmp_path):
    save_tiny_model(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")

    with pytest.raises(DataError, match="pickles") as error:
        find_model(str(tmp_path))
    assert "safetensors" in error.value.remedy


def test_a_folder_with_only_a_language_adapter_is_rejected(tmp_path):
    save_tiny_model(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "adapter.deu.safetensors")

    with pytest.raises(DataError, match="no safetensors weights"):
        find_model(str(tmp_path))


@pytest.mark.parametrize("text", ["{", "[]", "\udcff"])
def test_a_broken_configuration_is_rejected_by_name(tmp_path, text):
    (tmp_path / "config.json").write_bytes(text.encode("utf-8", "surrogateescape"))

    with pytest.raises(DataError, match=r"config\.json"):
        find_model(str(tmp_path))


@pytest.mark.parametrize("head", [True, False])
def test_a_trained_head_is_detected_from_the_weights(tmp_path, head):
    save_tiny_model(tmp_path, head=head)

    assert has_trained_head(find_model(str(tmp_path))) is head

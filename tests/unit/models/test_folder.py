import time

import pytest
from helpers.tiny_models import save_tiny_model

from gaudi_asr_cli.core.errors import DataError, UnreachableError
from gaudi_asr_cli.core.models import folder as folder_module
from gaudi_asr_cli.core.models.folder import ModelFolder, find_model, has_trained_head

NOWHERE = "gaudi-asr-tests/no-such-model"


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    """An empty cache of our own in place of the user's."""
    import huggingface_hub.constants as constants

    cache = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return cache


def cache_model(cache, name):
    """Lay a model out as the hub's cache does."""
    root = cache / f"models--{name.replace('/', '--')}"
    (root / "refs").mkdir(parents=True)
    (root / "refs/main").write_text("0123abcd")
    return save_tiny_model(root / "snapshots/0123abcd")


def test_an_id_out_of_reach_says_what_where_and_how_to_go_on(hub_cache):
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


def test_a_cached_model_serves_for_a_language_that_it_shall_learn(hub_cache):
    snapshot = cache_model(hub_cache, NOWHERE)

    assert find_model(NOWHERE, language="ita").path == snapshot


def test_a_cache_without_weights_counts_as_none(hub_cache):
    for weights in cache_model(hub_cache, NOWHERE).glob("*.safetensors"):
        weights.unlink()

    with pytest.raises(UnreachableError):
        find_model(NOWHERE)


def test_the_demo_model_is_the_one_in_the_package(tmp_path, monkeypatch):
    save_tiny_model(tmp_path)
    monkeypatch.setattr(folder_module, "DEMO_FOLDER", tmp_path)

    assert find_model("demo") == ModelFolder("demo", tmp_path)


def test_the_models_own_folder_comes_before_one_named_model_in_it(tmp_path):
    save_tiny_model(tmp_path)
    save_tiny_model(tmp_path / "model")

    assert find_model(str(tmp_path)).path == tmp_path


@pytest.mark.parametrize("name", ["no/such/folder", "./nothing", "/nowhere/model", "a b", ""])
def test_what_is_neither_folder_nor_id_is_no_hub_look_up(name):
    with pytest.raises(DataError, match="neither a model folder nor a hub id"):
        find_model(name)


def test_a_folder_without_configuration_is_no_model(tmp_path):
    with pytest.raises(DataError, match=r"no config\.json"):
        find_model(str(tmp_path))


def test_pickled_weights_are_refused_and_never_loaded(tmp_path):
    save_tiny_model(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")

    with pytest.raises(DataError, match="pickles") as error:
        find_model(str(tmp_path))
    assert "safetensors" in error.value.remedy


def test_a_language_adapter_alone_is_no_model(tmp_path):
    save_tiny_model(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "adapter.deu.safetensors")

    with pytest.raises(DataError, match="no safetensors weights"):
        find_model(str(tmp_path))


@pytest.mark.parametrize("text", ["{", "[]", "\udcff"])
def test_a_broken_configuration_is_named(tmp_path, text):
    (tmp_path / "config.json").write_bytes(text.encode("utf-8", "surrogateescape"))

    with pytest.raises(DataError, match=r"config\.json"):
        find_model(str(tmp_path))


@pytest.mark.parametrize("head", [True, False])
def test_a_trained_head_is_told_by_its_weights(tmp_path, head):
    save_tiny_model(tmp_path, head=head)

    assert has_trained_head(find_model(str(tmp_path))) is head

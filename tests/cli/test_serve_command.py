"""The command line of `serve`: what it refuses, and what it warns of."""

import pytest
from helpers.run import run_here

from gaudi_asr_cli.cli import serve
from gaudi_asr_cli.core.inference.options import InferenceOptions
from gaudi_asr_cli.serve import run as server


@pytest.fixture
def started(monkeypatch):
    """Return the arguments that the server would be started with."""
    calls = []
    monkeypatch.setattr(server, "run_server", lambda *arguments: calls.append(arguments))
    return calls


def test_without_the_extra_the_error_has_the_line_that_installs_it(monkeypatch):
    monkeypatch.setattr(serve, "find_spec", lambda name: None)

    done = run_here("serve", "--model", "demo")

    assert done.exit_code == 5
    assert "pip install 'gaudi-asr[serve]'" in done.stderr


@pytest.mark.parametrize(
    ("host", "warned"),
    [("127.0.0.1", False), ("localhost", False), ("::1", False), ("0.0.0.0", True)],
)
def test_a_server_that_others_reach_without_a_key_is_warned_of(started, host, warned):
    done = run_here("serve", "--model", "demo", "--host", host)

    assert done.exit_code == 0
    assert ("asks for no key" in done.stderr) is warned
    assert started[0][2].host == host


def test_the_key_comes_from_the_environment_and_no_child_gets_it(started, monkeypatch):
    monkeypatch.setenv(serve.API_KEY_VARIABLE, "the-key")

    done = run_here("serve", "--model", "demo", "--host", "0.0.0.0")

    assert "asks for no key" not in done.stderr
    assert started[0][2].api_key == "the-key"
    assert serve.API_KEY_VARIABLE not in serve.os.environ
    assert "the-key" not in repr(started)


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ([], {"127.0.0.1"}),
        (["--host", "localhost"], {"localhost"}),
        (["--allow-host", "asr.lan"], {"127.0.0.1", "asr.lan"}),
        (["--allow-host", "*"], None),
        # Others reach it under names that are not known, or there is a key.
        (["--host", "0.0.0.0"], None),
        (["--host", "0.0.0.0", "--allow-host", "asr.lan"], {"0.0.0.0", "asr.lan"}),
        (["--api-key", "the-key"], None),
    ],
)
def test_a_server_of_this_machine_without_a_key_has_names(started, words, names):
    assert run_here("serve", "--model", "demo", *words).exit_code == 0

    assert started[0][2].names == names


@pytest.mark.parametrize("name", ["http://asr.lan", "asr.lan:80", "", "*.lan"])
def test_what_is_no_name_is_a_usage_error(started, name):
    done = run_here("serve", "--model", "demo", "--allow-host", name)

    assert (done.exit_code, started) == (2, [])
    assert "--allow-host asr.example.org" in done.stderr


@pytest.mark.parametrize(("words", "cards"), [([], None), (["--cards", "1"], 1)])
def test_the_number_of_processes_is_left_to_the_model_unless_it_is_given(started, words, cards):
    run_here("serve", "--model", "demo", *words)

    assert started[0][1].cards == cards


def test_models_have_names(started, tmp_path):
    folder = tmp_path / "a=b"
    folder.mkdir()

    run_here("serve", "--model", f"small={tmp_path}", "--model", folder, "--model", "openai/x")

    names = {one.name: one.model for one in started[0][0]}
    assert names == {"small": str(tmp_path), str(folder): str(folder), "openai/x": "openai/x"}


def test_the_options_are_those_of_infer_unless_others_are_given(started):
    run_here("serve", "--model", "demo", "--language", "de", "--vad", "off")

    (model,) = started[0][0]
    assert model.options == InferenceOptions(temperatures=None, language="de", vad="off")

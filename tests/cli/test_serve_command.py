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

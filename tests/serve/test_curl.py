"""curl, as the documentation has it."""

import json
import shutil
import subprocess

import pytest
from helpers.run import run
from helpers.served import running_server
from helpers.tiny_corpus import write_corpus

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("clip"), utterances=1).parent / "u00.wav"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    words = ("--model", "demo", "--api-key", "secret")
    with running_server(tmp_path_factory.mktemp("server"), *words) as running:
        yield running


def curl(server, *words):
    url = f"{server.url}/v1/audio/transcriptions"
    done = subprocess.run(
        ["curl", "-sS", "--fail-with-body", url, *words],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


def test_curl_gets_what_infer_writes(server, clip):
    form = ("-F", "model=demo", "-F", f"file=@{clip}", "-F", "response_format=srt")

    code, text = curl(server, "-H", "Authorization: Bearer secret", *form)

    assert (code, text) == (0, run("infer", "--model", "demo", "--format", "srt", clip).stdout)


def test_curl_reads_events_as_they_come(server, clip):
    form = ("-F", "model=demo", "-F", f"file=@{clip}", "-F", "stream=true")

    code, text = curl(server, "-N", "-H", "Authorization: Bearer secret", *form)

    events = [json.loads(line.removeprefix("data: ")) for line in text.split("\n\n") if line]
    assert code == 0
    assert [one["type"].rpartition(".")[2] for one in events] == ["delta", "segment", "done"]


@pytest.mark.parametrize("size", [10, 2 << 20])
def test_curl_sees_the_error_even_of_a_large_upload(server, tmp_path, size):
    path = tmp_path / "upload.wav"
    path.write_bytes(bytes(size))

    code, text = curl(server, "-F", "model=demo", "-F", f"file=@{path}")

    assert code == 22
    assert json.loads(text)["error"]["code"] == "invalid_api_key"

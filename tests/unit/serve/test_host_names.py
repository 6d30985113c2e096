"""A server without a key answers to its own names only: DNS rebinding gives a page another."""

import asyncio
import json
import socket

import pytest
from helpers.served_app import served_app

from gaudi_asr_cli.core.inference.options import InferenceOptions
from gaudi_asr_cli.core.serving.service import ServedModel, ServiceSettings, TranscriptionService
from gaudi_asr_cli.serve.app import create_app
from gaudi_asr_cli.serve.host_names import read_name
from gaudi_asr_cli.serve.settings import ServerSettings

UPGRADE = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)


@pytest.fixture(scope="module")
def address():
    models = [ServedModel("m", "m", InferenceOptions())]

    async def make():
        return TranscriptionService(models, ServiceSettings())

    settings = ServerSettings(names=frozenset({"127.0.0.1", "Asr.example.org"}))
    with served_app(create_app(asyncio.run(make()), settings)) as found:
        yield found


def ask(address, host, path="/v1/models", more=""):
    """Return the status and the body of an answer to a request with this `Host`."""
    name, port = address.split(":")
    with socket.create_connection((name, int(port)), timeout=10) as connection:
        # The origin is the host, as it is for a page whose name leads here.
        head = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\n"
        connection.sendall(f"{head}{more or 'Connection: close'}\r\n\r\n".encode())
        answer = connection.makefile("rb")
        status = int(answer.readline().split()[1])
        return status, b"" if status == 101 else answer.read().partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:8000", "localhost.", "127.0.0.1:8000", "[::1]:8000", "192.168.0.7",
     "asr.example.org", "ASR.example.org:443"],
)  # fmt: skip
def test_own_names_and_addresses_are_answered(address, host):
    status, body = ask(address, host)

    assert (status, json.loads(body)["data"][0]["id"]) == (200, "m")
    assert ask(address, host, "/v1/audio/stream", UPGRADE)[0] == 101


@pytest.mark.parametrize(
    "host",
    ["rebound.example", "rebound.example:8000", "localhost.rebound.example", "1.2.3", "[::1"],
)
def test_another_name_gets_an_error_that_names_the_option(address, host):
    status, body = ask(address, host)

    error = json.loads(body)["error"]
    assert (status, error["code"]) == (421, "unknown_host")
    assert host in error["message"]
    assert "--allow-host" in error["message"]
    assert ask(address, host, "/")[0] == ask(address, host, "/health")[0] == 421


def test_a_stream_of_another_name_is_not_opened(address):
    status, _ = ask(address, "rebound.example", "/v1/audio/stream", UPGRADE)

    assert status == 421


@pytest.mark.parametrize("host", ["", "a@localhost", "localhost/a", "localhost:b", "local host"])
def test_what_no_browser_sends_is_no_name(host):
    assert read_name(host) in {None, "local host"}

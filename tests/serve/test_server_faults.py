"""What clients and systems do to a server: each fault is answered, and costs no other request."""

import asyncio
import os
import random
import re
import signal
import socket
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers.run import run
from helpers.served import (
    BOUNDARY,
    connect,
    files_below,
    form_body,
    read_answer,
    request_head,
    running_server,
)
from helpers.tiny_corpus import write_corpus

KEY = "a-key-of-a-test"
BEARER = f"Authorization: Bearer {KEY}"
LIMITS = ("--max-upload-mb", "4", "--max-duration", "60", "--upload-timeout", "2")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("clip"), utterances=1).parent / "u00.wav"


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def server(scratch):
    words = ("--model", "demo", "--max-queue", "40", *LIMITS)
    with running_server(scratch, *words, env={"GAUDI_ASR_API_KEY": KEY}) as running:
        yield running


def write_noise(path, seconds):
    samples = np.random.default_rng(0).normal(0, 0.1, int(seconds * 16_000))
    soundfile.write(path, samples, 16_000)
    return path


def post(server, body, *lines, path="/v1/audio/transcriptions"):
    with connect(server) as connection:
        head = request_head(len(body), *(lines or (BEARER,)), path=path)
        connection.sendall(head + body)
        return read_answer(connection)


def in_flight(server):
    request = urllib.request.Request(f"{server.url}/metrics", headers=dict([BEARER.split(": ")]))
    with urllib.request.urlopen(request) as answer:
        return float(re.search(rb"\ngaudi_asr_requests_in_flight (\S+)", answer.read())[1])


def wait_until(holds, seconds=30):
    deadline_s = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


@pytest.mark.parametrize("lines", [("X-Nothing: 1",), ("Authorization: Bearer wrong",)])
def test_without_the_key_nothing_is_read(server, lines):
    with connect(server) as connection:
        connection.sendall(request_head(1 << 20, *lines))
        status, headers, body = read_answer(connection)

    assert (status, b"invalid_api_key" in body) == (401, True)
    assert headers["www-authenticate"] == "bearer"
    assert KEY.encode() not in body


@pytest.mark.parametrize(
    ("site", "status"), [("cross-site", 403), ("same-site", 403), ("same-origin", 200)]
)
def test_a_page_of_another_site_gets_no_work_done(server, clip, site, status):
    answer = post(server, form_body(clip, model="demo"), BEARER, f"Sec-Fetch-Site: {site}")

    assert answer[0] == status


def test_an_upload_that_is_too_large_is_rejected_while_it_arrives(server, clip):
    declared = post(server, form_body(clip, model="demo") + bytes(5 << 20))
    with connect(server) as connection:
        head = request_head(0, BEARER, "Transfer-Encoding: chunked")
        connection.sendall(head.replace(b"Content-Length: 0\r\n", b""))
        start = form_body(clip, model="demo").rpartition(b"\r\n--")[0]
        chunk = bytes(1 << 16)
        try:
            connection.sendall(f"{len(start):x}\r\n".encode() + start + b"\r\n")
            for _ in range(80):
                connection.sendall(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
        except OSError:
            pass
        counted = read_answer(connection)

    assert (declared[0], counted[0]) == (413, 413)


def test_a_slow_upload_ends_after_a_while(server):
    with connect(server) as connection:
        connection.sendall(request_head(1000, BEARER) + b"--")
        status, _, body = read_answer(connection)

    assert (status, b"upload_timeout" in body) == (408, True)


def test_audio_that_is_too_long_is_rejected(server, tmp_path):
    path = write_noise(tmp_path / "long.flac", 61)

    status, _, body = post(server, form_body(path, model="demo"))

    assert (status, b"61 s" in body) == (400, True)


def test_a_client_that_ends_within_its_upload_leaves_nothing(server, scratch, clip):
    for _ in range(20):
        with connect(server) as connection:
            connection.sendall(request_head(1 << 20, BEARER) + form_body(clip)[:200])
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    wait_until(lambda: not files_below(scratch) and in_flight(server) == 0)
    assert post(server, form_body(clip, model="demo"))[0] == 200


def test_a_client_that_leaves_a_queued_request_frees_its_place(server, scratch, tmp_path):
    body = form_body(write_noise(tmp_path / "minute.flac", 59), model="demo")

    with waiting_requests(server, body, 30):
        wait_until(lambda: in_flight(server) >= 20)

    wait_until(lambda: not files_below(scratch) and in_flight(server) == 0, seconds=10)


def test_five_hundred_malformed_bodies_are_errors_of_their_senders(server, clip):
    whole = form_body(clip, model="demo")
    chance = random.Random(0)

    def damage(number):
        data = bytearray(whole)
        match number % 5:
            case 0:
                return bytes(data[: chance.randrange(len(data) - 8)])
            case 1:
                return chance.randbytes(chance.randrange(2000))
            case 2:
                return bytes(data).replace(b"name=", chance.randbytes(4))
            case 3:
                return bytes(data).replace(b"\r\n\r\n", b"\r\n")
            case _:
                return bytes(data).replace(BOUNDARY.encode(), chance.randbytes(8), 1)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: post(server, damage(number)), range(500)))

    assert {status for status, _, _ in answers} == {400}
    assert all(b'"error"' in body for _, _, body in answers)
    assert post(server, whole)[0] == 200


def test_two_thousand_requests_at_once_are_answered_or_sent_away(server, tmp_path):
    body = form_body(write_noise(tmp_path / "ten.flac", 10), model="demo")
    request = request_head(len(body), BEARER) + body

    async def ask(semaphore):
        async with semaphore:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            writer.close()
            return int(head.split()[1]), "retry-after: " in head

    async def ask_all():
        semaphore = asyncio.Semaphore(400)
        return await asyncio.gather(*(ask(semaphore) for _ in range(2000)))

    before_mb = memory_mb(server.process.pid)
    answers = asyncio.run(ask_all())

    assert {status for status, _ in answers} == {200, 429}
    assert all(retry == (status == 429) for status, retry in answers)
    assert memory_mb(server.process.pid) - before_mb < 100
    assert in_flight(server) == 0


def memory_mb(pid):
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def test_nothing_of_a_request_is_in_the_messages_of_the_server(server, scratch, clip):
    post(server, form_body(clip, model="demo", prompt="a secret prompt"))

    assert server.messages() == ""
    assert files_below(scratch) == []


@contextmanager
def waiting_requests(server, body, count):
    """Send requests, and open their connections until the block is left."""
    with ExitStack() as stack:
        connections = [stack.enter_context(connect(server)) for _ in range(count)]
        for connection in connections:
            connection.sendall(request_head(len(body), BEARER) + body)
        yield connections


def test_sigterm_lets_twenty_requests_finish(tmp_path):
    body = form_body(write_noise(tmp_path / "minute.flac", 60), model="demo")
    with (
        running_server(tmp_path / "server", "--model", "demo") as server,
        waiting_requests(server, body, 20) as waiting,
    ):
        wait_until(lambda: in_flight(server) == 20)

        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: ready_status(server) == 503)
        late = post(server, body)
        answers = [read_answer(connection)[0] for connection in waiting]
        code = server.process.wait(60)

    assert answers == [200] * 20
    assert late[0] == 503
    assert code == 0
    assert not list((tmp_path / "server").glob("gaudi-asr-serve-*"))


def ready_status(server):
    try:
        with urllib.request.urlopen(f"{server.url}/ready") as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_a_killed_server_leaves_no_process_and_the_next_removes_its_files(tmp_path):
    folder = tmp_path / "server"
    body = form_body(write_noise(tmp_path / "minute.flac", 60), model="demo")
    with (
        running_server(folder, "--model", "demo") as server,
        waiting_requests(server, body, 10),
    ):
        wait_until(lambda: in_flight(server) == 10)
        workers = server.workers()
        server.stop(signal.SIGKILL)
    left = files_below(folder)

    with running_server(folder, "--model", "demo") as server:
        after = files_below(folder)
        assert post(server, form_body(write_noise(tmp_path / "a.wav", 1), model="demo"))[0] == 200

    assert left
    assert after == []
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))


def test_a_model_that_cannot_be_opened_ends_the_server_with_its_error(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')

    done = run("serve", "--port", "0", "--model", tmp_path)

    assert done.exit_code == 4
    assert str(tmp_path) in done.stderr
    assert "try:" in done.stderr
    assert done.stdout == ""


def test_an_address_in_use_is_named_before_a_model_is_opened():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        done = run("serve", "--port", port, "--model", "demo")

    assert done.exit_code == 5
    assert f"127.0.0.1:{port}" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "no model to serve"),
        (("--model", "demo", "--model", "demo"), "Two models are called demo"),
    ],
)
def test_models_that_cannot_be_told_apart_are_a_usage_error(words, message):
    done = run("serve", *words)

    assert (done.exit_code, message in done.stderr) == (2, True)

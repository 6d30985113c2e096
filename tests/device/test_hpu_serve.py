"""A server on the stand-in of a Gaudi: clients share batches, whose shapes are planned."""

import re
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile
from helpers.run import run_here
from helpers.served import connect, form_body, read_answer, request_head, running_server
from helpers.standin_device import standin_environment
from helpers.tiny_models import save_tiny_model

pytestmark = pytest.mark.slow


def write_clips(folder, count):
    """Write clips of many lengths, and one that is longer than a chunk."""
    folder.mkdir()
    chance = np.random.default_rng(0)
    lengths_s = [*chance.uniform(0.5, 9, count), 45.0]
    for number, seconds in enumerate(lengths_s):
        samples = chance.normal(0, 0.1, int(seconds * 16_000))
        soundfile.write(folder / f"{number:02}.wav", samples, 16_000)
    return sorted(folder.glob("*.wav"))


def metric(server, name):
    with urllib.request.urlopen(f"{server.url}/metrics") as answer:
        found = re.search(rf'\ngaudi_asr_{name}{{model="m"}} (\S+)', answer.read().decode())
    return float(found[1])


def text_of(server, path):
    with connect(server) as connection:
        body = form_body(path, model="m", response_format="text")
        connection.sendall(request_head(len(body)) + body)
        status, _, text = read_answer(connection)
    assert status == 200, text
    return text.decode().strip()


def test_batches_hold_several_clients_and_no_graph_is_captured_after_the_warm_up(tmp_path):
    model = save_tiny_model(tmp_path / "model")
    clips = write_clips(tmp_path / "clips", 24)
    words = ("--model", f"m={model}", "--device", "hpu", "--dtype", "fp32")
    gaudi = {**standin_environment(), "PT_HPU_LAZY_MODE": "1"}

    with running_server(tmp_path / "server", *words, env=gaudi) as server:
        warm = metric(server, "graphs")
        with ThreadPoolExecutor(16) as pool:
            texts = list(pool.map(lambda path: text_of(server, path), clips))
        graphs = metric(server, "graphs")
        batches, clients = (
            metric(server, "batch_requests_count"),
            metric(server, "batch_requests_sum"),
        )

    alone = run_here("infer", *clips, "--model", model, "--device", "cpu", "--dtype", "fp32")
    assert [line.partition("\t")[2] for line in alone.stdout.splitlines()] == texts
    assert graphs == warm > 1
    assert clients > 1.5 * batches

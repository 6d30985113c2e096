"""Live streams on the stand-in of a Gaudi: utterances of any length capture no new graph."""

import json
import re
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soxr
from helpers.served import running_server
from helpers.standin_device import standin_environment
from helpers.tiny_models import save_tiny_model
from websockets.sync.client import connect

from gaudi_asr_cli.core.data.espeak import ESPEAK_RATE_HZ, open_espeak

pytestmark = pytest.mark.slow
STREAMS = 4


def speak(digits, rate_wpm):
    """Return 16-bit PCM at 16 kHz of two utterances of so many digits."""
    text = " ".join(
        ["one", "four", "seven", "two", "nine", "six"][number % 6] for number in range(digits)
    )
    with open_espeak() as espeak:
        spoken = espeak.synthesise(text, voice="en-us", rate_wpm=rate_wpm, pitch=50)
    samples = soxr.resample(spoken, ESPEAK_RATE_HZ, 16_000)
    silence = np.zeros(16_000, np.float32)
    joined = np.concatenate([silence, samples, silence, samples, silence])
    return (np.clip(joined, -1, 1) * 32767).astype("<i2").tobytes()


def count_graphs(server):
    with urllib.request.urlopen(f"{server.url}/metrics") as answer:
        return float(re.search(r'\ngaudi_asr_graphs{model="m"} (\S+)', answer.read().decode())[1])


def stream(server, pcm):
    """Send audio as fast as it is taken, and return the types of what comes."""
    url = server.url.replace("http", "ws", 1) + "/v1/audio/stream?model=m"
    with connect(url, proxy=None) as socket:
        for first in range(0, len(pcm), 16_000):
            socket.send(pcm[first : first + 16_000])
        socket.send(json.dumps({"type": "end"}))
        return [json.loads(message)["type"] for message in socket]


def test_live_streams_share_the_planned_shapes(tmp_path):
    model = save_tiny_model(tmp_path / "model")
    words = ("--model", f"m={model}", "--device", "hpu", "--dtype", "fp32")
    gaudi = {**standin_environment(), "PT_HPU_LAZY_MODE": "1"}
    recordings = [speak(2 + 5 * number, 120) for number in range(STREAMS)]

    with running_server(tmp_path / "server", *words, env=gaudi) as server:
        warm = count_graphs(server)
        with ThreadPoolExecutor(STREAMS) as pool:
            events = list(pool.map(lambda pcm: stream(server, pcm), recordings))
        graphs = count_graphs(server)

    assert all(kinds[-1] == "done" and kinds.count("final") >= 2 for kinds in events)
    assert graphs == warm > 1

"""Live audio over a WebSocket of a real server: the text of `infer`, metrics, and SIGTERM."""

import json
import re
import signal
import urllib.request

import numpy as np
import pytest
from helpers.served import running_server
from helpers.spoken import NUMBERS, speak_numbers
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from gaudi_asr_cli.core.data.audio import load_audio
from gaudi_asr_cli.core.records import AudioSpan

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running_server(tmp_path_factory.mktemp("server"), "--model", "demo") as server:
        yield server


@pytest.fixture(scope="module")
def pcm(tmp_path_factory):
    file = speak_numbers(tmp_path_factory.mktemp("spoken") / "numbers.wav")
    samples = load_audio(AudioSpan(file)).samples
    return (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()


def opened_stream(server):
    return connect(server.url.replace("http", "ws", 1) + "/v1/audio/stream", proxy=None)


def receive_all(socket):
    events = []
    try:
        while True:
            events.append(json.loads(socket.recv(timeout=60)))
    except ConnectionClosed:
        return events


def test_each_utterance_has_its_text_and_times(server, pcm):
    with opened_stream(server) as socket:
        socket.send(json.dumps({"type": "start", "model": "demo"}))
        for first in range(0, len(pcm), 3200):
            socket.send(pcm[first : first + 3200])
        socket.send(json.dumps({"type": "end"}))
        events = receive_all(socket)

    finals = [event for event in events if event["type"] == "final"]
    assert [one["text"].split()[0] for one in finals] == [text.split()[0] for text in NUMBERS]
    assert events[-1]["type"] == "done"
    for one in finals:
        times = [time for word in one["words"] for time in (word["start"], word["end"])]
        assert times == sorted(times)
        assert one["start"] - 0.4 <= times[0] <= times[-1] <= one["end"] + 0.4
    with urllib.request.urlopen(server.url + "/metrics") as answer:
        metrics = answer.read().decode()
    assert "gaudi_asr_live_streams 0.0" in metrics
    assert "gaudi_asr_live_final_seconds_count 3.0" in metrics
    assert float(re.search(r"\ngaudi_asr_live_audio_seconds_total (\S+)", metrics)[1]) > 3


def test_sigterm_sends_what_was_said_and_ends_with_zero(pcm, tmp_path):
    with running_server(tmp_path, "--model", "demo") as server, opened_stream(server) as socket:
        socket.send(json.dumps({"type": "start", "model": "demo"}))
        # As far as into the first words.
        socket.send(pcm[: 2 * 16_000 * 2])
        assert json.loads(socket.recv(timeout=60))["type"] == "speech_started"
        server.process.send_signal(signal.SIGTERM)
        events = receive_all(socket)

        assert [event["type"] for event in events][-2:] == ["final", "done"]
        assert server.process.wait(60) == 0

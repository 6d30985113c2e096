"""The WebSocket of live transcription: messages, keys, limits and errors, with a fake service."""

import asyncio
import contextlib
import json
import socket
import struct
import time
from urllib.parse import urlsplit

import numpy as np
import pytest
from fastapi import FastAPI
from helpers.served_app import served_app
from starlette.datastructures import Headers
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.inference.vad import SpeechDetector
from gaudi_asr_cli.core.records import Transcript, WordTiming
from gaudi_asr_cli.core.serving.messages import ServedTranscript
from gaudi_asr_cli.core.serving.service import QueueFullError, ServiceSettings
from gaudi_asr_cli.serve import live
from gaudi_asr_cli.serve.live import LiveLimits, LiveObserver, is_same_origin, live_routes

KEY = "a-key"
PATH = "/v1/audio/stream"


class FakeService:
    """A service with two models, whose text is the number of seconds that it got."""

    def __init__(self):
        self.models = {"one": None, "two": None}
        self.settings = ServiceSettings(max_duration_s=20)
        self.is_draining = False
        self.is_full = False
        self.failure = None
        self.text = None
        self.asked = []
        self.admitted = 0

    @contextlib.contextmanager
    def admit(self):
        if self.is_full:
            raise QueueFullError("The server is full.", remedy="Come again.")
        self.admitted += 1
        try:
            yield
        finally:
            self.admitted -= 1

    async def transcribe_samples(self, model, samples, options, *, is_live):
        assert is_live == (not options.is_partial)
        self.asked.append((model, options))
        if self.failure is not None:
            raise self.failure
        await asyncio.sleep(0)
        length_s = len(samples) / 16_000
        if self.text is not None:
            return ServedTranscript(Transcript("live", self.text), length_s, {})
        word = WordTiming("word", 0.4, 0.8, None)
        return ServedTranscript(Transcript("live", f"{length_s:.1f} s", (word,)), length_s, {})


class Counts(LiveObserver):
    def __init__(self):
        self.seen = []

    def stream_opened(self):
        self.seen.append("opened")

    def stream_closed(self, seconds):
        self.seen.append(("closed", round(seconds, 1)))

    def final_sent(self, latency_s):
        self.seen.append("final")

    def noticed(self, message):
        self.seen.append(message)


def by_level(samples):
    return (samples.reshape(-1, 512).max(axis=1) > 0.1).astype(np.float32)


@pytest.fixture
def service(monkeypatch):
    monkeypatch.setattr(live, "open_live_detector", lambda: SpeechDetector(lambda: by_level))
    return FakeService()


@contextlib.contextmanager
def served(service, *, keyed=False, observer=None, **limits):
    app = FastAPI()
    limits = LiveLimits(**limits)
    allowed = (lambda given: given == KEY) if keyed else (lambda given: True)
    app.include_router(live_routes(service, allowed, observer or LiveObserver(), limits))
    with served_app(app) as address:
        yield f"ws://{address}{PATH}"


def pcm(*parts):
    """Return 16-bit PCM of parts: seconds and their level."""
    parts = [np.full(round(16_000 * seconds), level * 32767) for seconds, level in parts]
    return np.concatenate(parts).astype("<i2").tobytes()


SPEECH = pcm((0.5, 0), (1, 0.5), (1, 0))


def talk(url, *messages, **settings):
    """Send messages, and return what comes until the connection is closed, and the close code."""
    with connect(url, proxy=None, **settings) as socket:
        with contextlib.suppress(ConnectionClosed):
            for message in messages:
                socket.send(json.dumps(message) if isinstance(message, dict) else message)
        return read_events(socket)


def read_events(socket):
    """Return what comes until the connection is closed, and the close code."""
    events = []
    try:
        while True:
            events.append(json.loads(socket.recv(timeout=20)))
    except ConnectionClosed as closed:
        return events, closed.rcvd.code


def kinds(events):
    return [event["type"] for event in events]


def test_audio_becomes_events_until_it_ends(service):
    counts = Counts()
    with served(service, observer=counts) as url:
        events, code = talk(
            url + "?model=two&language=de", SPEECH[:20_001], SPEECH[20_001:], {"type": "end"}
        )

    assert code == 1000
    assert kinds(events)[0] == "speech_started"
    assert kinds(events)[-2:] == ["final", "done"]
    final = events[-2]
    assert final["start"] == pytest.approx(0.5, abs=0.05)
    assert final["end"] == pytest.approx(1.5, abs=0.05)
    assert final["words"] == [
        {
            "word": "word",
            "start": pytest.approx(final["start"], abs=0.05),
            "end": pytest.approx(final["start"] + 0.4, abs=0.05),
        }
    ]
    assert final["latency_s"] >= 0
    assert events[-1]["duration"] == 2.5
    assert {model for model, _ in service.asked} == {"two"}
    assert {options.language for _, options in service.asked} == {"de"}
    assert counts.seen == ["opened", "final", ("closed", 2.5)]
    assert service.admitted == 0


def test_a_start_message_chooses_rate_encoding_and_pause(service):
    samples = np.repeat(np.frombuffer(SPEECH, "<i2"), 3).astype("<f4") / 32768
    start = {"type": "start", "model": "one", "sample_rate": 48_000, "encoding": "f32le"}
    with served(service) as url:
        data = samples.tobytes()
        pieces = [data[first : first + 100_001] for first in range(0, len(data), 100_001)]
        events, _ = talk(url, {**start, "pause": 0.3}, *pieces, {"type": "end"})

    (final,) = [event for event in events if event["type"] == "final"]
    assert final["end"] == pytest.approx(1.5, abs=0.1)
    assert events[-1]["duration"] == pytest.approx(2.5, abs=0.01)


@pytest.mark.parametrize(
    ("message", "param", "code"),
    [
        ("no json", None, "invalid_message"),
        ("[1]", None, "invalid_message"),
        ('{"type": "end"}', None, "invalid_message"),
        ('{"type": "start"}', "model", "missing_required_parameter"),
        ('{"type": "start", "model": "three"}', "model", "model_not_found"),
        ('{"type": "start", "model": 3}', "model", "invalid_value"),
        ('{"type": "start", "model": "one", "rate": 8000}', "rate", "invalid_value"),
        ('{"type": "start", "model": "one", "sample_rate": 1}', "sample_rate", "invalid_value"),
        ('{"type": "start", "model": "one", "sample_rate": true}', "sample_rate", "invalid_value"),
        ('{"type": "start", "model": "one", "encoding": "mp3"}', "encoding", "invalid_value"),
        ('{"type": "start", "model": "one", "pause": "long"}', "pause", "invalid_value"),
        ('{"type": "start", "model": "one", "pause": 99}', None, "unsupported_value"),
        ('{"type": "start", "model": "one", "pause": NaN}', None, "unsupported_value"),
    ],
)
def test_a_wrong_first_message_is_an_error(service, message, param, code):
    with served(service) as url:
        events, close = talk(url, message)

    assert kinds(events) == ["error"]
    assert (events[0]["error"]["param"], events[0]["error"]["code"]) == (param, code)
    assert close == 1008


@pytest.mark.parametrize(
    "settings",
    [
        {"additional_headers": {"Authorization": f"Bearer {KEY}"}},
        {"start": {"api_key": KEY}},
    ],
)
def test_the_key_comes_in_a_header_or_the_start_message(service, settings):
    start = {"type": "start", "model": "one", **settings.pop("start", {})}
    with served(service, keyed=True) as url:
        events, _ = talk(url, start, {"type": "end"}, **settings)

    assert kinds(events) == ["done"]


@pytest.mark.parametrize("start", [{}, {"api_key": "another"}, {"api_key": "ключ"}])
def test_without_the_key_nothing_is_transcribed(service, start):
    with served(service, keyed=True) as url:
        events, code = talk(url, {"type": "start", "model": "one", **start}, SPEECH)
        other, _ = talk(url + f"?model=one&api_key={KEY}", SPEECH)

    assert events[0]["error"]["code"] == other[0]["error"]["code"] == "invalid_api_key"
    assert code == 1008
    assert service.asked == []


def test_a_page_of_another_site_is_rejected(service):
    with served(service) as url, pytest.raises(InvalidStatus) as rejected:
        connect(url, proxy=None, origin="https://example.org").__enter__()

    assert rejected.value.response.status_code == 403
    assert is_same_origin(Headers({"host": "a:80"}))
    assert is_same_origin(Headers({"host": "Asr.example", "origin": "https://asr.example"}))
    assert not is_same_origin(Headers({"host": "a:80", "origin": "http://a:81"}))
    assert not is_same_origin(Headers({"host": "a:80", "origin": "null"}))


def test_limits_end_a_stream_with_their_error(service):
    start = {"type": "start", "model": "one"}
    with served(service, idle_timeout_s=0.6, start_timeout_s=0.3, max_message_bytes=1 << 17) as url:
        idle, _ = talk(url, start)
        unstarted, _ = talk(url)
        large, code = talk(url, start, bytes((1 << 17) + 2))
        long, _ = talk(url, start, *[bytes(1 << 17)] * 6)
        wrong, _ = talk(url, start, {"type": "stop"})

    codes = [events[-1]["error"]["code"] for events in (idle, unstarted, large, long, wrong)]
    assert codes == [
        *("idle_timeout", "idle_timeout", "message_too_large", "stream_too_long"),
        "invalid_message",
    ]
    assert code == 1009
    assert service.admitted == 0


def test_speech_before_a_silence_of_the_client_gets_its_final_transcript(service):
    counts = Counts()
    with served(service, observer=counts, idle_timeout_s=0.4) as url:
        events, code = talk(url, {"type": "start", "model": "one"}, pcm((0.5, 0), (1, 0.5)))

    assert kinds(events)[-2:] == ["final", "error"]
    assert events[-1]["error"]["code"] == "idle_timeout"
    assert (code, service.admitted) == (1008, 0)
    assert counts.seen[-2:] == ["final", ("closed", 1.5)]


def test_too_many_streams_and_a_full_queue_are_told_to_come_later(service):
    start = {"type": "start", "model": "one"}
    with served(service, max_streams=1) as url, connect(url, proxy=None) as first:
        first.send(json.dumps(start))
        first.send(SPEECH)
        first.recv(timeout=20)
        events, code = talk(url, start)
        first.send(json.dumps({"type": "end"}))
        list(first)
        service.is_full = True
        full, full_code = talk(url, start)

    assert (events[0]["error"]["code"], code) == ("too_many_streams", 1013)
    assert (full[0]["error"]["code"], full_code) == ("queue_full", 1013)


@pytest.mark.parametrize("goes_on", [False, True])
def test_a_server_that_ends_sends_what_was_said_and_closes(service, goes_on):
    with served(service) as url, connect(url, proxy=None) as connection:
        connection.send(json.dumps({"type": "start", "model": "one"}))
        connection.send(pcm((1, 0.5)))
        connection.recv(timeout=20)
        service.is_draining = True
        with contextlib.suppress(ConnectionClosed):
            for _ in range(500 if goes_on else 0):
                connection.send(bytes(320))
                time.sleep(0.01)
        events, code = read_events(connection)

    assert kinds(events)[-2:] == ["final", "done"]
    assert code == 1012


def test_a_failed_transcription_is_an_error_of_the_stream(service):
    service.failure = DataError("It cannot be read.", remedy="Send other audio.")
    with served(service) as url:
        events, code = talk(url, {"type": "start", "model": "one"}, SPEECH)

    assert events[-1]["error"]["message"] == "It cannot be read."
    assert code == 1008


def test_a_bug_is_reported_without_what_was_said_and_the_client_gets_no_internals(service):
    service.failure = ValueError("my secret words")
    counts = Counts()
    with served(service, observer=counts) as url:
        events, code = talk(url, {"type": "start", "model": "one"}, SPEECH)

    assert (events[-1]["error"]["message"], code) == ("The server failed.", 1011)
    (notice,) = [one for one in counts.seen if "ValueError" in str(one)]
    assert "secret" not in notice


def wait_for(condition):
    until_s = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until_s
        time.sleep(0.02)


def frame(kind, data):
    """Return a WebSocket frame of a client: its length, and a mask of zeros."""
    return struct.pack(">BBQ", 0x80 | kind, 0x80 | 127, len(data)) + bytes(4) + data


def test_a_client_that_does_not_receive_loses_its_place(service):
    service.text = "much " * (1 << 20)
    with served(service, idle_timeout_s=0.5) as url:
        host = urlsplit(url).netloc
        with socket.create_connection(host.split(":")) as raw:
            raw.sendall(
                f"GET {PATH} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\n"
                "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
            )
            assert raw.recv(12) == b"HTTP/1.1 101"
            raw.sendall(frame(1, b'{"type": "start", "model": "one"}'))
            for _ in range(20):
                raw.sendall(frame(2, SPEECH))
            wait_for(lambda: service.asked)
            wait_for(lambda: not service.admitted)


def test_a_client_that_goes_away_leaves_nothing_behind(service):
    counts = Counts()
    with served(service, observer=counts) as url:
        with connect(url, proxy=None) as socket:
            socket.send(json.dumps({"type": "start", "model": "one"}))
            socket.send(SPEECH)
            socket.recv(timeout=20)
        events, _ = talk(url, {"type": "start", "model": "one"}, {"type": "end"})

    assert kinds(events) == ["done"]
    assert service.admitted == 0
    assert [one for one in counts.seen if one == "opened"] == ["opened"] * 2

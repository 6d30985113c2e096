"""The application in front of a fake service: errors, streams, and clients that leave."""

import asyncio
import json

import pytest

from gaudi_asr_cli.core.errors import AsrError
from gaudi_asr_cli.core.records import Segment, Transcript
from gaudi_asr_cli.core.serving.messages import ServedTranscript
from gaudi_asr_cli.core.serving.service import ServiceObserver, TranscriptionService
from gaudi_asr_cli.serve.app import create_app
from gaudi_asr_cli.serve.metrics import ServerMetrics
from gaudi_asr_cli.serve.settings import ServerSettings

BODY = (
    b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nm\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="../../a.wav"\r\n\r\nRIFF\r\n'
)
STREAM = b'--b\r\nContent-Disposition: form-data; name="stream"\r\n\r\ntrue\r\n'
END = b"--b--\r\n"


class FakeService(TranscriptionService):
    """Calls `work` instead of a worker."""

    def __init__(self, work):
        from gaudi_asr_cli.core.inference.options import InferenceOptions
        from gaudi_asr_cli.core.serving.service import ServedModel, ServiceSettings

        super().__init__(
            [ServedModel("m", "m", InferenceOptions())], ServiceSettings(), ServiceObserver()
        )
        self.work = work

    async def transcribe(self, model, audio, options, *, name="audio", on_segment=None, **_):
        return await self.work(audio, name, on_segment)


class Caller:
    """Asks an application in this process."""

    def __init__(self, folder, work):
        self.notices = []
        self.folder = folder
        self.work = work

    def post(self, body=BODY + END, leaves_after_s=None):
        return asyncio.run(self._post(body, leaves_after_s))

    async def _post(self, body, leaves_after_s):
        service = FakeService(self.work)
        settings = ServerSettings(scratch=self.folder)
        app = create_app(service, settings, ServerMetrics(self.notices.append))
        received, sent = [body], []

        async def receive():
            if received:
                return {"type": "http.request", "body": received.pop(), "more_body": False}
            await asyncio.sleep(60 if leaves_after_s is None else leaves_after_s)
            return {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)

        scope = {
            "type": "http", "method": "POST", "path": "/v1/audio/transcriptions",
            "raw_path": b"/v1/audio/transcriptions", "query_string": b"", "http_version": "1.1",
            "scheme": "http", "root_path": "", "client": ("127.0.0.1", 1), "server": ("a", 1),
            "headers": [(b"content-type", b"multipart/form-data; boundary=b")],
        }  # fmt: skip
        try:
            await app(scope, receive, send)
        except RuntimeError:
            # The framework raises it again, for the log of the web server.
            assert sent
        self.left = list(self.folder.iterdir()), service.in_flight
        text = b"".join(one.get("body", b"") for one in sent)
        return sent[0]["status"], text.decode()


def result_of(text):
    return ServedTranscript(Transcript("u", text), 1.0, {"queue": 0.1})


@pytest.fixture
def caller(tmp_path):
    return lambda work: Caller(tmp_path, work)


def test_the_file_has_a_name_of_ours_and_is_gone_after_the_answer(caller, tmp_path):
    seen = []

    async def work(path, name, _):
        seen.append((path.parent, path.read_bytes(), path.stat().st_mode & 0o777, name))
        return result_of("one")

    one = caller(work)
    status, text = one.post()

    assert (status, json.loads(text)["text"]) == (200, "one")
    assert seen == [(tmp_path, b"RIFF", 0o600, "a.wav")]
    assert one.left == ([], 0)


def test_a_bug_is_an_error_without_what_it_says(caller):
    async def work(*_):
        raise RuntimeError("the secret of the client")

    one = caller(work)
    status, text = one.post()

    assert (status, json.loads(text)["error"]["code"]) == (500, "server_error")
    assert "secret" not in text + str(one.notices)
    assert "RuntimeError at test_app.py" in one.notices[0]
    assert one.left == ([], 0)


def test_a_client_that_leaves_ends_the_work(caller):
    ended = []

    async def work(*_):
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    one = caller(work)
    one.post(leaves_after_s=0.05)

    assert ended == [True]
    assert one.left == ([], 0)


def test_a_client_that_leaves_a_stream_ends_the_work(caller):
    ended = []

    async def work(_, __, on_segment):
        on_segment(Segment("one", 0.0, 1.0))
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    one = caller(work)
    one.post(BODY + STREAM + END, leaves_after_s=0.1)

    assert ended == [True]
    assert one.left == ([], 0)


@pytest.mark.parametrize("streams", [False, True])
def test_an_error_of_the_service_has_openai_s_shape(caller, streams):
    async def work(*_):
        raise AsrError("It broke.", remedy="Repeat nothing.")

    one = caller(work)
    status, text = one.post(BODY + (STREAM if streams else b"") + END)

    error = json.loads(text.partition("data: ")[2] if streams else text)["error"]
    assert status == (200 if streams else 500)
    assert error == {
        "message": "It broke. Repeat nothing.",
        "type": "server_error",
        "param": None,
        "code": "server_error",
    }
    assert one.left == ([], 0)


def test_parts_are_streamed_and_the_rest_follows(caller):
    async def work(_, __, on_segment):
        on_segment(Segment(" one", 0.0, 1.0))
        on_segment(Segment("two ", 1.0, 2.0))
        return result_of("one two three")

    status, text = caller(work).post(BODY + STREAM + END)

    events = [json.loads(line.removeprefix("data: ")) for line in text.split("\n\n") if line]
    assert status == 200
    deltas = [one["delta"] for one in events if one["type"].endswith("delta")]
    assert deltas == ["one", " two", " three"]
    assert [one["start"] for one in events if one["type"].endswith("segment")] == [0.0, 1.0]
    assert events[-1] == {"type": "transcript.text.done", "text": "one two three"}

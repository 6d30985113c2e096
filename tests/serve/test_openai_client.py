"""OpenAI's own client against a server with the demo model."""

import openai
import pytest
import srt
import webvtt
from helpers.run import run
from helpers.served import running_server
from helpers.tiny_corpus import write_corpus

from gaudi_asr_cli import __version__


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus"), utterances=6).parent


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running_server(tmp_path_factory.mktemp("server"), "--model", "demo") as running:
        yield running


@pytest.fixture(scope="module")
def client(server):
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as one:
        yield one


@pytest.fixture
def audio(corpus):
    return min(corpus.glob("*.wav"))


def text_of_infer(*words):
    return run("infer", "--model", "demo", *words).stdout


def test_the_texts_are_those_of_infer(client, corpus):
    files = sorted(corpus.glob("*.wav"))

    texts = [client.audio.transcriptions.create(model="demo", file=one).text for one in files]

    lines = text_of_infer(*files).splitlines()
    assert [line.partition("\t")[2] for line in lines] == texts
    assert any(texts)


@pytest.mark.parametrize("name", ["text", "srt", "vtt"])
def test_documents_are_those_of_infer(client, audio, name):
    text = client.audio.transcriptions.create(model="demo", file=audio, response_format=name)

    assert text == text_of_infer("--format", "txt" if name == "text" else name, audio)
    assert name != "srt" or list(srt.parse(text))
    assert name != "vtt" or webvtt.from_string(text).captions


def test_verbose_json_has_segments_and_on_request_words(client, audio):
    plain = client.audio.transcriptions.create(
        model="demo", file=audio, response_format="verbose_json"
    )
    timed = client.audio.transcriptions.create(
        model="demo",
        file=audio,
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
    )

    assert plain.words is None
    assert " ".join(one.text for one in plain.segments) == plain.text
    assert [one.word for one in timed.words] == timed.text.split()
    assert timed.segments == plain.segments
    times = [time for word in timed.words for time in (word.start, word.end)]
    assert times == sorted(times)
    assert times[-1] <= timed.duration == plain.usage.seconds


def test_a_streamed_text_comes_in_parts_that_make_up_the_whole(client, audio):
    whole = client.audio.transcriptions.create(model="demo", file=audio).text

    with client.audio.transcriptions.create(model="demo", file=audio, stream=True) as stream:
        events = list(stream)

    deltas = [one.delta for one in events if one.type == "transcript.text.delta"]
    segments = [one.text for one in events if one.type == "transcript.text.segment"]
    assert "".join(deltas) == whole
    assert " ".join(segments) == whole
    assert (events[-1].type, events[-1].text) == ("transcript.text.done", whole)


def test_the_models_are_listed_by_name(client):
    listed = client.models.list().data

    assert [one.id for one in listed] == ["demo"]
    assert client.models.retrieve("demo").owned_by == "gaudi-asr"
    with pytest.raises(openai.NotFoundError, match="This server has demo"):
        client.models.retrieve("whisper-1")


@pytest.mark.parametrize(
    ("fields", "status", "code", "param"),
    [
        ({"model": "whisper-1"}, 404, "model_not_found", "model"),
        ({"temperature": 2}, 400, "invalid_value", "temperature"),
        ({"temperature": "warm"}, 400, "invalid_value", "temperature"),
        ({"temperature": 0.5}, 400, "unsupported_value", None),
        ({"prompt": "Names:"}, 400, "unsupported_value", None),
        ({"response_format": "yaml"}, 400, "invalid_value", "response_format"),
        (
            {"timestamp_granularities": ["word"]},
            400,
            "invalid_value",
            "timestamp_granularities[]",
        ),
        (
            {"response_format": "verbose_json", "timestamp_granularities": ["line"]},
            400,
            "invalid_value",
            "timestamp_granularities[]",
        ),
    ],
)
def test_a_wrong_field_is_an_error_that_names_it(client, audio, fields, status, code, param):
    with pytest.raises(openai.APIStatusError) as caught:
        client.audio.transcriptions.create(**{"model": "demo", "file": audio, **fields})

    assert caught.value.status_code == status
    assert (caught.value.code, caught.value.param) == (code, param)
    assert "--" not in caught.value.body["message"]


def test_temperature_zero_and_a_language_are_accepted_by_every_model(client, audio):
    usual = client.audio.transcriptions.create(model="demo", file=audio).text

    asked = client.audio.transcriptions.create(
        model="demo", file=audio, temperature=0, language="en"
    )

    assert asked.text == usual


def test_a_model_that_cannot_translate_says_so(client, audio):
    with (
        pytest.warns(DeprecationWarning, match="deprecated"),
        pytest.raises(openai.BadRequestError, match="demo is a CTC model"),
    ):
        client.audio.translations.create(model="demo", file=audio)


@pytest.mark.parametrize("stream", [False, True])
def test_a_file_that_is_no_audio_is_an_error_without_a_path_of_the_server(client, stream):
    with pytest.raises(openai.APIError) as caught:
        list(
            client.audio.transcriptions.create(
                model="demo", file=("notes.mp3", b"no audio " * 99), stream=stream
            )
        )

    assert caught.value.code == "invalid_audio"
    assert caught.value.message.find("/") == -1
    assert "notes.mp3" in str(caught.value.body)


def test_the_server_names_its_state_and_metrics_without_a_key(server, client, audio):
    import urllib.request

    client.audio.transcriptions.create(model="demo", file=audio)

    def get(path):
        with urllib.request.urlopen(f"{server.url}{path}") as answer:
            return answer.read().decode()

    assert get("/health") == '{"status":"ok"}'
    assert get("/ready") == '{"status":"ready"}'
    metrics = get("/metrics")
    for name in ("requests_total", "audio_seconds_total", "rtfx_sum", "batch_size_sum"):
        assert f"\ngaudi_asr_{name}" in metrics
    for phase in ("upload", "queue", "decode", "compute", "total"):
        assert f'phase="{phase}"' in metrics
    assert __version__ not in metrics

"""Whispers behind the server: languages, prompts, translation and long audio."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import openai
import pytest
import soundfile
from helpers.run import run_here
from helpers.served import running_server
from helpers.tiny_corpus import write_corpus
from helpers.tiny_seq2seq import save_tiny_whisper

OPTIONS = ("--dtype", "fp32", "--vad", "off")
WHISPER = "/tmp/models/tiny.en"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_tiny_whisper(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def client(tmp_path_factory, model):
    words = ("--model", f"w={model}", *OPTIONS)
    with (
        running_server(tmp_path_factory.mktemp("server"), *words) as running,
        openai.OpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=0) as one,
    ):
        yield one


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = write_corpus(tmp_path_factory.mktemp("clips"), utterances=4).parent
    chance = np.random.default_rng(0)
    soundfile.write(folder / "v-long.wav", chance.normal(0, 0.1, 9 * 16_000), 16_000)
    return sorted(folder.glob("*.wav"))


def text_of_infer(model, path, *words):
    return run_here("infer", path, "--model", model, *OPTIONS, *words).stdout.strip()


# One at a time: a random model falls back to samples, which depend on the batch.
def test_the_texts_are_those_of_infer(client, model, clips):
    texts = [client.audio.transcriptions.create(model="w", file=one).text for one in clips]

    assert texts == [text_of_infer(model, one) for one in clips]
    assert all(texts)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"language": "de"}, ("--language", "de")),
        ({"prompt": "one two"}, ("--initial-prompt", "one two")),
        ({"keywords": ["three", "four"]}, ("--hotwords", "three,four")),
        ({"temperature": 0.4}, ("--temperature", "0.4")),
        ({"response_format": "vtt"}, ("--format", "vtt")),
    ],
)
def test_fields_are_the_options_of_infer(client, model, clips, fields, words):
    answer = client.audio.transcriptions.create(model="w", file=clips[0], **fields)

    text = answer if isinstance(answer, str) else answer.text
    assert text.strip() == text_of_infer(model, clips[0], *words)


def test_a_multilingual_model_translates_and_names_the_language(client, model, clips):
    with pytest.warns(DeprecationWarning, match="deprecated"):
        answer = client.audio.translations.create(model="w", file=clips[0])

    assert answer.text == text_of_infer(model, clips[0], "--task", "translate")
    assert answer.languages[0]["code"] in {"en", "de", "hi", "zh"}


def test_an_unknown_language_is_the_sender_s_error(client, clips):
    with pytest.raises(openai.BadRequestError, match="does not support the language 'xx'"):
        client.audio.transcriptions.create(model="w", file=clips[0], language="xx")


def test_long_audio_is_streamed_part_by_part(client, clips):
    with client.audio.transcriptions.create(model="w", file=clips[-1], stream=True) as stream:
        events = list(stream)

    whole = events[-1].text
    assert whole == client.audio.transcriptions.create(model="w", file=clips[-1]).text
    segments = [one for one in events if one.type == "transcript.text.segment"]
    assert len(segments) > 1
    assert [one.start for one in segments] == sorted(one.start for one in segments)


@pytest.mark.shared
@pytest.mark.slow
def test_real_clips_of_many_clients_have_the_texts_of_infer(shared_data, tmp_path):
    if not Path(WHISPER).is_dir():
        pytest.skip(f"needs {WHISPER}")
    clips = sorted((shared_data / "snippets").rglob("*.wav"))
    done = run_here("infer", *clips, "--model", WHISPER)

    with (
        running_server(tmp_path, "--model", f"w={WHISPER}") as server,
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client,
        ThreadPoolExecutor(16) as pool,
    ):
        texts = pool.map(
            lambda one: client.audio.transcriptions.create(model="w", file=one).text, clips
        )

        lines = [line.partition("\t")[2] for line in done.stdout.splitlines()]
        assert list(texts) == lines
    assert len(lines) > 10

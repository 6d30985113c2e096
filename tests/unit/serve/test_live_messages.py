"""Messages of live streams: whatever comes is read, or an error that says what is wrong."""

import contextlib
import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaudi_asr_cli.core.errors import UsageError
from gaudi_asr_cli.core.inference import live_speech
from gaudi_asr_cli.core.inference.live_speech import LiveSettings, open_live_detector
from gaudi_asr_cli.core.models.energy import EnergyStream
from gaudi_asr_cli.serve.api_errors import ApiError
from gaudi_asr_cli.serve.live_messages import StartMessage, read_message, read_start
from gaudi_asr_cli.serve.live_pcm import PcmReader

SAMPLES = (np.sin(np.arange(4_800) / 5) * 20_000).astype("<i2")
LETTERS = st.text("ab0 -é", max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | LETTERS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(LETTERS, inner, max_size=3),
    max_leaves=5,
)
FIELDS = ("type", "model", "language", "sample_rate", "encoding", "pause", "partial", "api_key")


@given(st.dictionaries(st.sampled_from(FIELDS), JSON))
def test_any_start_message_is_read_or_an_error(fields):
    try:
        start = read_start(read_message(json.dumps(fields)), {"model": "one"})
    except (ApiError, UsageError):
        return

    assert 8_000 <= start.sample_rate <= 192_000
    assert 0.2 <= start.settings.pause_s <= 5
    assert isinstance(start.model, str)


@given(st.text('{}[]",:0e-\\ ué', max_size=30))
def test_any_text_is_an_object_or_an_error(text):
    with contextlib.suppress(ApiError):
        assert isinstance(read_message(text), dict)


def test_deeply_nested_json_is_an_error():
    with pytest.raises(ApiError):
        read_message("[" * 100_000)


def test_fields_of_the_message_go_before_those_of_the_url():
    defaults = {"model": "one", "language": "de"}

    assert read_start({"type": "start", "model": "two", "pause": 1}, defaults) == StartMessage(
        model="two", language="de", settings=LiveSettings(pause_s=1.0)
    )


@given(st.lists(st.integers(0, len(SAMPLES) * 2), max_size=6))
def test_pieces_of_bytes_are_the_samples_of_the_whole(cuts):
    data = SAMPLES.tobytes()
    reader = PcmReader("s16le", 16_000)
    edges = [0, *sorted(cuts), len(data)]

    parts = [reader.read(data[first:end]) for first, end in itertools.pairwise(edges)]

    np.testing.assert_allclose(np.concatenate(parts), SAMPLES / 32_768, atol=1e-7)
    assert len(reader.finish()) == 0


def test_other_rates_are_resampled_piece_by_piece():
    reader = PcmReader("s16le", 48_000)
    data = np.repeat(SAMPLES, 3).tobytes()
    pieces = [reader.read(data[first : first + 1_001]) for first in range(0, len(data), 1_001)]

    resampled = np.concatenate([*pieces, reader.finish()])

    assert len(resampled) == pytest.approx(len(SAMPLES), abs=2)
    # The repetition of samples is a filter of its own, a third of a sample late.
    inner = slice(200, 4_500)
    np.testing.assert_allclose(resampled[inner], SAMPLES[inner] / 32_768, atol=0.12)


def test_floats_that_are_no_numbers_are_silence():
    reader = PcmReader("f32le", 16_000)

    samples = reader.read(np.array([0.5, np.nan, np.inf, -np.inf, 7], "<f4").tobytes())

    assert samples.tolist() == [0.5, 0, 0, 0, 1]


def test_without_silero_speech_is_detected_by_energy(monkeypatch):
    monkeypatch.setattr(live_speech, "find_weights", lambda: None)

    assert open_live_detector().open_stream is EnergyStream

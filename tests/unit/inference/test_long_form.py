import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers.slow import slow_after_first
from hypothesis import given, settings
from hypothesis import strategies as st

from gaudi_asr_cli.core.data.audio import LoadedAudio, load_audio
from gaudi_asr_cli.core.decoding import make_decoder
from gaudi_asr_cli.core.decoding.greedy import GreedyDecoder
from gaudi_asr_cli.core.decoding.lm.arpa import write_arpa
from gaudi_asr_cli.core.decoding.lm.kneser_ney import estimate_kneser_ney
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.inference.long_form import (
    LONG_BLOCK_S,
    infer_long,
    load_blocks,
    open_blocks,
)
from gaudi_asr_cli.core.models.geometry import Convolution, FrameGeometry
from gaudi_asr_cli.core.records import (
    SAMPLE_RATE_HZ,
    AudioSpan,
    Emissions,
    Utterance,
    Vocabulary,
)

GEOMETRY = FrameGeometry((Convolution(400, 320),))
VOCABULARY = Vocabulary(("a", "|", "_"), blank=2, delimiter=1, special=frozenset({2}))


class FakeFile:
    """A file of `audio_s` seconds whose header says `header_s`; samples in `hole` are lost."""

    def __init__(self, audio_s, *, header_s=None, hole=None):
        self.samples = 1 + np.arange(round(audio_s * SAMPLE_RATE_HZ), dtype=np.float32)
        self.header_s = audio_s if header_s is None else header_s
        self.hole = hole
        self.max_s = 0.0

    def load(self, span):
        """Load as `load_audio` does: what is left of the span, and how much is lost."""
        start = round(span.start_s * SAMPLE_RATE_HZ)
        end_s = self.header_s if span.duration_s is None else span.start_s + span.duration_s
        samples = self.samples[start : round(end_s * SAMPLE_RATE_HZ)]
        if self.hole is not None:
            samples = samples[(samples <= self.hole[0]) | (samples > self.hole[1])]
        if not len(samples):
            raise DataError("There is no audio.", remedy="None.")
        self.max_s = max(self.max_s, len(samples) / SAMPLE_RATE_HZ)
        lost_s = end_s - span.start_s - len(samples) / SAMPLE_RATE_HZ
        return LoadedAudio(samples, lost_s if lost_s > 0.1 else 0.0)


def read_all(file, span=None, duration_s=None):
    span = AudioSpan(Path("fake.wav")) if span is None else span
    duration_s = file.header_s if duration_s is None else duration_s
    return list(load_blocks(span, duration_s, file.load))


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 10 * LONG_BLOCK_S * 50), st.none() | st.integers(0, 100))
def test_blocks_are_the_whole_audio_in_order(length, start_s):
    # Steps of a fiftieth of a second are fine enough, and fast for twenty minutes of audio.
    file = FakeFile(length / 50)
    start_s = min(start_s or 0, file.header_s / 2)
    span = AudioSpan(Path("fake.wav"), start_s)

    blocks = read_all(file, span, file.header_s - start_s)

    whole = file.load(span).samples
    assert np.array_equal(np.concatenate([block.samples for block in blocks]), whole)
    assert all(block.lost_s == 0 for block in blocks)
    assert file.max_s == len(whole) / SAMPLE_RATE_HZ or file.max_s <= LONG_BLOCK_S + 2


def test_span_is_not_read_beyond_its_end():
    file = FakeFile(500)
    span = AudioSpan(Path("fake.wav"), 30.0, 300.0)

    blocks = read_all(file, span, 300.0)

    joined = np.concatenate([block.samples for block in blocks])
    assert np.array_equal(joined, file.load(span).samples)


def test_file_that_ends_early_reports_the_lost_seconds():
    for audio_s in (130.0, 240.0, 240.5, 241.0, 290.0):
        blocks = read_all(FakeFile(audio_s, header_s=1000.0))

        assert sum(len(block.samples) for block in blocks) == audio_s * SAMPLE_RATE_HZ
        assert sum(block.lost_s for block in blocks) == pytest.approx(1000 - audio_s)


def test_audio_after_a_hole_stays_on_the_clock_of_the_file():
    hole = (130 * SAMPLE_RATE_HZ, 140 * SAMPLE_RATE_HZ)
    file = FakeFile(600.0, hole=hole)

    blocks = read_all(file)

    joined = np.concatenate([block.samples for block in blocks])
    assert len(joined) == len(file.samples)
    assert np.array_equal(joined[240 * SAMPLE_RATE_HZ :], file.samples[240 * SAMPLE_RATE_HZ :])
    assert sum(block.lost_s for block in blocks) == pytest.approx(10.0)


def test_file_without_audio_is_an_error():
    with pytest.raises(DataError):
        read_all(FakeFile(0, header_s=700.0))


@pytest.mark.parametrize("form", slow_after_first(["wav", "flac", "ogg", "mp3"]))
@pytest.mark.parametrize("rate_hz", [16_000, 44_100, 8_000])
def test_blocks_of_a_real_file_are_those_of_the_file_loaded_whole(tmp_path, capfd, form, rate_hz):
    path = tmp_path / f"long.{form}"
    rng = np.random.default_rng(7)
    # Loud and quiet, so that a misplaced sample would show.
    audio = np.cumsum(rng.standard_normal(rate_hz * 250)) % 1.0 - 0.5
    with soundfile.SoundFile(path, "w", samplerate=rate_hz, channels=1) as file:
        # libsndfile's Vorbis writer crashes on all samples at once.
        for part in np.array_split(audio.astype(np.float32), 100):
            file.write(part)
    span = AudioSpan(path) if form == "mp3" else AudioSpan(path, 1.37)

    blocks = list(open_blocks(span))

    whole = load_audio(span).samples
    joined = np.concatenate([block.samples for block in blocks])
    assert len(blocks) >= 3
    assert len(joined) == len(whole)
    # A filter or a lossy codec that starts in the middle differs by its last bits.
    np.testing.assert_allclose(joined, whole, rtol=0, atol=1e-5)
    assert sum(block.lost_s for block in blocks) == 0
    assert capfd.readouterr().err == ""


def test_only_the_requested_channel_of_a_long_file_is_read(tmp_path):
    for form in ("wav", "mp3"):
        path = tmp_path / f"stereo.{form}"
        ramp = np.linspace(-0.5, 0.5, 16_000 * 130, dtype=np.float32)
        soundfile.write(path, np.stack([ramp, np.zeros_like(ramp)], axis=1), 16_000)

        right = list(open_blocks(AudioSpan(path), channel=1))

        assert sum(len(block.samples) for block in right) == pytest.approx(len(ramp), abs=3_000)
        assert max(np.abs(block.samples).max() for block in right if len(block.samples)) < 0.01
        with pytest.raises(DataError, match="no channel 2"):
            list(open_blocks(AudioSpan(path), channel=2))


def test_file_that_is_not_audio_is_an_error(tmp_path):
    path = tmp_path / "talk.mp3"
    path.write_text("not audio")

    with pytest.raises(DataError):
        list(open_blocks(AudioSpan(path)))


def test_truncated_mp3_reports_the_lost_seconds(tmp_path):
    path = tmp_path / "cut.mp3"
    soundfile.write(path, np.zeros(16_000 * 100, dtype=np.float32), 16_000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    blocks = list(open_blocks(AudioSpan(path)))

    whole = load_audio(AudioSpan(path))
    assert sum(len(block.samples) for block in blocks) == len(whole.samples)
    assert blocks[-1].lost_s == pytest.approx(whole.lost_s)
    assert whole.lost_s > 40


def test_long_audio_is_decoded_as_in_one_piece():
    rng = np.random.default_rng(3)
    audio = rng.integers(0, 3, 320 * 20_000).astype(np.float32).repeat(1)
    utterance = Utterance("u", AudioSpan(Path("u.wav"), 100.0))
    blocks = [LoadedAudio(part, 0.25) for part in np.array_split(audio, 7)]
    decoder = GreedyDecoder(VOCABULARY)

    result = infer_long(infer_first_samples, GEOMETRY, blocks, decoder, utterance).decode()

    assert result.transcript == decoder.decode(infer_first_samples(audio), 0, utterance)
    assert len(result.transcript.words) > 1000
    assert (result.duration_s, result.lost_s) == (400.0, 1.75)


def test_each_word_of_long_audio_is_reported_once_and_whole():
    rng = np.random.default_rng(4)
    audio = rng.integers(0, 3, 320 * 10_000).astype(np.float32)
    audio[320 * 3000 : 320 * 6000] = 2.0
    utterance = Utterance("u", AudioSpan(Path("u.wav"), 100.0))
    segments = []

    result = infer_long(
        infer_first_samples,
        GEOMETRY,
        [LoadedAudio(part) for part in np.array_split(audio, 3)],
        GreedyDecoder(VOCABULARY),
        utterance,
        segments.append,
    ).decode()

    reported = " ".join(one.text for one in segments).split()
    assert reported == [word.word for word in result.transcript.words]
    assert len(segments) > 10
    starts_s = [one.start_s for one in segments]
    assert starts_s == sorted(starts_s)


def test_words_of_a_three_hour_file_are_on_its_clock():
    minute = np.full(60 * SAMPLE_RATE_HZ, 2.0, dtype=np.float32)
    with_word = minute.copy()
    with_word[32_000:32_320] = 0.0
    utterance = Utterance("u", AudioSpan(Path("u.wav")))
    blocks = (LoadedAudio(with_word if n in (0, 90, 179) else minute) for n in range(180))

    result = infer_long(
        infer_first_samples, GEOMETRY, blocks, GreedyDecoder(VOCABULARY), utterance
    ).decode()

    assert result.duration_s == 3 * 3600
    (word,) = result.transcript.words
    assert word.word == "aaa"
    assert (word.start_s, word.end_s) == (pytest.approx(1.8), pytest.approx(179 * 60 + 2.22))


def test_memory_grows_by_only_a_few_bytes_per_frame():
    def measure_peak(minutes):
        blocks = (LoadedAudio(np.zeros(960_000, np.float32)) for _ in range(minutes))
        tracemalloc.start()
        infer_long(
            infer_first_samples, GEOMETRY, blocks, GreedyDecoder(VOCABULARY), WINDOW_UTTERANCE
        ).decode()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    three_hours, ten_minutes = measure_peak(180), measure_peak(10)

    assert (three_hours - ten_minutes) / (170 * 60 * 50) < 24


WINDOW_UTTERANCE = Utterance("n", AudioSpan(Path("n.wav")))


def infer_first_samples(samples):
    """Emissions in which the first sample of a frame names its token."""
    frames = GEOMETRY.count_frames(len(samples))
    padded = np.pad(samples, (0, max(0, frames * 320 - len(samples))))
    tokens = padded[: frames * 320 : 320].astype(np.int64) % 3
    log_probs = np.full((1, frames, 3), -9.0, dtype=np.float32)
    log_probs[0, np.arange(frames), tokens] = -0.1
    return Emissions(log_probs, np.array([frames]), GEOMETRY.frame_s)


def test_long_audio_is_searched_with_a_language_model_as_in_one_piece(tmp_path):
    rng = np.random.default_rng(3)
    audio = rng.integers(0, 3, 320 * 6000).astype(np.float32)
    utterance = Utterance("u", AudioSpan(Path("u.wav"), 120.0))
    blocks = [LoadedAudio(part) for part in np.array_split(audio, 7)]
    lm = tmp_path / "lm.arpa"
    write_arpa(estimate_kneser_ney([["a", "aa"], ["aa", "aaa"], ["a", "a"]], 2).model, lm)
    decoder = make_decoder("beam", VOCABULARY, lm=str(lm), hotwords=("aaa",), beam_size=20)
    parts = []

    result = infer_long(
        infer_first_samples, GEOMETRY, blocks, decoder, utterance, parts.append
    ).decode()

    assert len(parts) > 5
    assert result.transcript == decoder.decode(infer_first_samples(audio), 0, utterance)
    assert len(result.transcript.words) > 500

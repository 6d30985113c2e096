from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given
from hypothesis import strategies as st

from gaudi_asr_cli.core.data.quality import (
    CLIPPED_SHARE,
    SILENCE_DBFS,
    UPSAMPLED_DROP_DB,
    find_shared_audio,
    inspect_audio,
    measure_band_drop_db,
    measure_clipped_share,
    measure_loudest_dbfs,
    pick_evenly,
)
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.records import AudioSpan, Utterance

FSDD = Path(__file__).parents[4] / "shared" / "data" / "fsdd"
SNIPPETS = FSDD.parent / "snippets"


def noise(seconds: float, rate_hz: int = 16_000, level: float = 0.1, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return (level * random.standard_normal(round(seconds * rate_hz))).astype(np.float32)


def sine(level: float, seconds: float = 1.0) -> np.ndarray:
    times_s = np.arange(round(seconds * 16_000)) / 16_000
    return (level * np.sin(2 * np.pi * 440 * times_s)).astype(np.float32)


def write_utterance(
    path: Path, samples: np.ndarray, *, rate_hz: int = 16_000, text: str = "one"
) -> Utterance:
    soundfile.write(path, samples, rate_hz, subtype="PCM_16")
    span = AudioSpan(path, duration_s=len(samples) / rate_hz)
    return Utterance(path.stem, span, text=text)


def test_the_level_of_a_sine_is_its_root_mean_square():
    assert measure_loudest_dbfs(sine(0.5)) == pytest.approx(20 * np.log10(0.5 / 2**0.5), abs=0.1)


def test_one_word_in_a_long_silence_is_not_silence():
    samples = np.zeros(160_000, dtype=np.float32)
    samples[80_000:84_000] = sine(0.1, 0.25)

    assert measure_loudest_dbfs(samples) > SILENCE_DBFS + 20


@pytest.mark.parametrize("samples", [np.zeros(16_000, np.float32), noise(1.0, level=1e-3)])
def test_digital_silence_and_a_noise_floor_are_silent(samples):
    assert measure_loudest_dbfs(samples) < SILENCE_DBFS


@given(st.integers(0, 1000))
def test_a_clip_of_any_length_has_a_level(samples):
    assert -201 < measure_loudest_dbfs(np.zeros(samples, np.float32)) < -199


def test_a_sine_amplified_over_full_scale_is_clipped():
    clipped = np.clip(sine(1.5), -1, 1)

    # Flat wherever 1.5 sin(x) > 0.99.
    assert measure_clipped_share(clipped) == pytest.approx(
        1 - 2 * np.arcsin(0.66) / np.pi, abs=0.01
    )


def test_a_peak_that_reaches_full_scale_is_not_clipped():
    samples = noise(1.0, level=0.1)
    samples[5000:5010] = 1.0

    assert 0 < measure_clipped_share(samples) < CLIPPED_SHARE


def test_clipping_survives_resampling(tmp_path):
    loud = np.clip(noise(2.0, 44_100, level=0.8), -1, 1)

    facts = inspect_audio(write_utterance(tmp_path / "loud.wav", loud, rate_hz=44_100))

    assert facts.clipped


def test_no_samples_are_not_clipped():
    assert measure_clipped_share(np.zeros(0, np.float32)) == 0.0


@pytest.mark.parametrize("quality", ["HQ", "VHQ", "MQ"])
def test_an_upsampled_8_khz_clip_drops_at_4_khz(quality):
    upsampled = soxr.resample(noise(2.0, 8_000), 8_000, 16_000, quality=quality)

    assert measure_band_drop_db(upsampled) > UPSAMPLED_DROP_DB


def test_a_clip_of_full_bandwidth_does_not_drop():
    assert measure_band_drop_db(noise(2.0)) == pytest.approx(0, abs=1)


def test_a_dull_clip_is_not_taken_for_telephone_audio():
    # 12 dB an octave, twice as dull as speech usually is.
    dull = np.cumsum(noise(2.0, level=0.001))

    assert measure_band_drop_db((dull - dull.mean()).astype(np.float32)) < 15


@pytest.mark.parametrize("samples", [0, 1, 1023])
def test_a_clip_under_64_ms_has_no_band_drop(samples):
    assert measure_band_drop_db(noise(1.0)[:samples]) is None


@pytest.mark.parametrize("rate_hz", [16_000, 44_100])
def test_a_file_at_16_khz_with_8_khz_content_is_upsampled(rate_hz, tmp_path):
    samples = soxr.resample(noise(2.0, 8_000), 8_000, rate_hz, quality="HQ")

    facts = inspect_audio(write_utterance(tmp_path / "a.wav", samples, rate_hz=rate_hz))

    assert facts.upsampled
    assert not facts.low_rate
    assert facts.file_rate_hz == rate_hz


def test_an_8_khz_file_is_low_rate_and_not_upsampled(tmp_path):
    facts = inspect_audio(write_utterance(tmp_path / "a.wav", noise(2.0, 8_000), rate_hz=8_000))

    assert facts.low_rate
    assert not facts.upsampled


def test_silence_is_neither_clipped_nor_upsampled(tmp_path):
    facts = inspect_audio(write_utterance(tmp_path / "a.wav", np.zeros(32_000)))

    assert facts.silent
    assert not facts.clipped
    assert not facts.upsampled


def test_a_file_that_cannot_be_decoded_is_named(tmp_path):
    path = tmp_path / "letter.wav"
    path.write_text("Dear Sir")

    with pytest.raises(DataError, match=r"letter\.wav"):
        inspect_audio(Utterance("letter", AudioSpan(path)))


@pytest.mark.shared
@pytest.mark.skipif(not FSDD.exists(), reason="needs ../shared/data/fsdd")
def test_real_speech_at_8_khz_is_distinguished_from_the_same_speech_upsampled(tmp_path):
    paths = pick_evenly(sorted(FSDD.rglob("*.wav")), 20)
    larger = []
    for number, path in enumerate(paths):
        samples, rate_hz = soundfile.read(path)
        resampled = soxr.resample(samples, rate_hz, 16_000, quality="HQ")
        larger.append(inspect_audio(write_utterance(tmp_path / f"{number}.wav", resampled)))
    native = [inspect_audio(Utterance(path.stem, AudioSpan(path))) for path in paths]

    assert sum(facts.upsampled for facts in larger) >= 18
    assert all(facts.low_rate and not facts.upsampled for facts in native)


@pytest.mark.shared
@pytest.mark.skipif(not SNIPPETS.exists(), reason="needs ../shared/data/snippets")
def test_real_wideband_speech_is_not_flagged_as_upsampled():
    paths = [
        path
        for folder in ("LibriSpeech", "LJSpeech", ".")
        for path in (SNIPPETS / folder).glob("*.flac" if folder == "." else "**/*.[fw]*")
        if path.suffix in {".flac", ".wav"}
    ]

    facts = [inspect_audio(Utterance(path.stem, AudioSpan(path))) for path in paths]
    assert len(facts) > 5
    assert not any(one.upsampled or one.silent or one.clipped for one in facts)


@given(st.integers(0, 300), st.integers(0, 300))
def test_a_sample_is_spread_evenly_and_never_larger_than_asked(items, number):
    picked = pick_evenly(range(items), number)

    assert len(picked) == min(items, number)
    assert list(picked) == sorted(set(picked))
    steps = np.diff(picked)
    assert len(steps) == 0 or steps.max() - steps.min() <= 1


def test_a_sample_has_the_first_and_the_last():
    assert pick_evenly("abcdefghij", 3) == ("a", "e", "j")


def test_a_copy_under_another_name_and_format_is_found(tmp_path):
    samples = np.round(noise(0.5) * 32767).astype(np.int16)
    train = write_utterance(tmp_path / "train.wav", samples)
    copy = write_utterance(tmp_path / "test.flac", samples)

    (pair,) = find_shared_audio([train], [copy])

    assert (pair.train, pair.evaluation) == (train, copy)


def test_the_same_file_is_found_even_with_another_text(tmp_path):
    train = write_utterance(tmp_path / "a.wav", noise(0.5))
    relabelled = Utterance("other", train.audio, text="two")

    assert len(find_shared_audio([train], [relabelled])) == 1


def test_the_same_words_in_another_recording_are_no_copy(tmp_path):
    train = write_utterance(tmp_path / "a.wav", noise(0.5, seed=1))
    evaluation = write_utterance(tmp_path / "b.wav", noise(0.5, seed=2))

    assert find_shared_audio([train], [evaluation]) == ()


def test_two_parts_of_one_recording_are_no_copies(tmp_path):
    whole = write_utterance(tmp_path / "a.wav", noise(2.0)).audio.path
    first, second = (
        Utterance(str(start_s), AudioSpan(whole, start_s, 1.0), text="one") for start_s in (0, 1)
    )

    assert find_shared_audio([first], [second]) == ()


def test_clean_splits_are_compared_without_decoding_anything(tmp_path):
    train = Utterance("a", AudioSpan(tmp_path / "missing-a.wav", duration_s=1.0), text="one")
    evaluation = Utterance("b", AudioSpan(tmp_path / "missing-b.wav", duration_s=1.5), text="one")

    assert find_shared_audio([train], [evaluation]) == ()


def test_a_file_that_cannot_be_decoded_is_no_copy(tmp_path):
    spans = [AudioSpan(tmp_path / name, duration_s=1.0) for name in ("a.wav", "b.wav")]
    for span in spans:
        span.path.write_text("Dear Sir")
    train, evaluation = (Utterance(span.path.stem, span, text="one") for span in spans)

    assert find_shared_audio([train], [evaluation]) == ()

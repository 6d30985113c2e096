"""Voice activity detection: nothing without speech, speech with its times, parts of long audio."""

import importlib.util
from math import inf
from pathlib import Path

import numpy as np
import pytest

from gaudi_asr_cli.core.decoding import make_decoder
from gaudi_asr_cli.core.errors import MachineError
from gaudi_asr_cli.core.inference import vad
from gaudi_asr_cli.core.inference.overlapping import cut_overlapping
from gaudi_asr_cli.core.inference.vad import (
    SpeechDecoder,
    SpeechDetector,
    cut_at_pauses,
    cut_parts,
    merge_spans,
    open_detector,
    pack_spans,
)
from gaudi_asr_cli.core.models.energy import EnergyStream
from gaudi_asr_cli.core.models.silero import VAD_FRAME_SAMPLES
from gaudi_asr_cli.core.records import AudioSpan, Emissions, Speech, Utterance, Vocabulary

RATE_HZ = 16_000
needs_silero = pytest.mark.skipif(
    importlib.util.find_spec("silero_vad") is None, reason="silero-vad is not installed"
)
TIMES_S = np.arange(20 * RATE_HZ) / RATE_HZ


def pink_noise():
    spectrum = np.fft.rfft(np.random.default_rng(2).standard_normal(len(TIMES_S)))
    noise = np.fft.irfft(spectrum / np.sqrt(np.arange(1, len(spectrum) + 1)))
    return 0.1 * noise / noise.std()


def clicks():
    samples = np.zeros(len(TIMES_S))
    samples[:: RATE_HZ // 2] = 0.8
    return samples


def harmonics(*tones_hz, decay=0.0):
    tones = sum(
        np.sin(2 * np.pi * tone_hz * number * TIMES_S) / number
        for tone_hz in tones_hz
        for number in range(1, 5)
    )
    return 0.1 * np.exp(-decay * (TIMES_S % 1)) * tones


STEADY = {
    "silence": np.zeros(len(TIMES_S)),
    "white noise": np.random.default_rng(1).normal(0, 0.1, len(TIMES_S)),
    "pink noise": pink_noise(),
    "hum at 50 Hz": harmonics(50),
    "hum at 120 Hz": harmonics(120),
    "clicks": clicks(),
    "chord": harmonics(262, 330, 392),
}


def syllables(*spans_s, length_s=20.0):
    """Return a voice-like buzz in syllables, in these spans of quiet noise."""
    times_s = np.arange(round(length_s * RATE_HZ)) / RATE_HZ
    voice = sum(np.sin(2 * np.pi * 140 * k * times_s) / k for k in range(1, 20))
    voice *= 0.1 * (1 + np.sin(2 * np.pi * 4 * times_s))
    inside = np.zeros(len(times_s))
    for start_s, end_s in spans_s:
        inside[round(start_s * RATE_HZ) : round(end_s * RATE_HZ)] = 1
    noise = np.random.default_rng(3).normal(0, 1e-3, len(times_s))
    return (voice * inside + noise).astype(np.float32)


@pytest.mark.parametrize("name", STEADY)
@pytest.mark.parametrize("detector", ["energy", pytest.param("silero", marks=needs_silero)])
def test_no_speech_is_found_in(detector, name):
    found = (
        SpeechDetector(EnergyStream)
        if detector == "energy"
        else open_detector("on", by_default=True)
    )

    assert found.find(STEADY[name].astype(np.float32)).spans == ()


def test_energy_finds_the_spans_of_speech():
    speech = SpeechDetector(EnergyStream).find(syllables((3, 5), (9, 9.9)))

    assert speech.spans[0][0] == pytest.approx(3, abs=0.2)
    assert speech.spans[-1][1] == pytest.approx(9.9, abs=0.2)
    assert all(end_s <= 5.2 or start_s >= 8.8 for start_s, end_s in speech.spans)


@pytest.mark.parametrize("detector", ["energy", pytest.param("silero", marks=needs_silero)])
def test_audio_in_blocks_has_the_speech_of_the_whole(detector):
    found = (
        SpeechDetector(EnergyStream)
        if detector == "energy"
        else open_detector("on", by_default=True)
    )
    samples = syllables((3, 5), (11, 17))

    blocks = np.split(samples, [1, 5000, 200_000])

    assert found.find_in_blocks(blocks) == found.find(samples)


def spans_of(probabilities, frames=None):
    """Return the spans of audio whose frames have these probabilities."""
    given = np.array(probabilities, np.float32)
    samples = np.zeros((len(given) if frames is None else frames) * VAD_FRAME_SAMPLES, np.float32)
    return SpeechDetector(lambda: lambda block: given).find(samples).spans


def test_a_click_is_no_speech_and_a_short_gap_no_pause():
    assert spans_of([0, 0.9, 0.9, 0, 0, 0, 0, 0]) == ()
    assert len(spans_of([0.9] * 5 + [0.1] * 3 + [0.9] * 5)) == 1
    assert len(spans_of([0.9] * 5 + [0.1] * 9 + [0.9] * 5)) == 2


def test_speech_lasts_while_it_is_less_probable_than_its_start():
    ((start_s, end_s),) = spans_of([0.4, 0.4, 0.6, 0.4, 0.4, 0.1, 0.1, 0.1, 0.1, 0.1])

    assert (start_s, end_s) == pytest.approx((2 * 0.032, 5 * 0.032))


def test_spans_are_merged_over_short_pauses_with_a_margin():
    speech = Speech(((0.1, 1.0), (2.0, 3.0), (9.0, 9.5)))

    assert list(merge_spans(speech, pause_s=2.0, margin_s=0.4)) == [
        (0.0, pytest.approx(3.4)),
        (pytest.approx(8.6), pytest.approx(9.9)),
    ]


def test_parts_fit_a_window_and_are_cut_in_pauses():
    speech = Speech(tuple((start, start + 4.0) for start in range(0, 60, 5)))

    parts = list(pack_spans(speech, 30.0, 0.4))

    assert all(end_s - start_s <= 30 for start_s, end_s in parts)
    assert all(end_s % 5 == pytest.approx(4.4) for _, end_s in parts)
    assert all(
        any(start_s <= span[0] and span[1] <= end_s for start_s, end_s in parts)
        for span in speech.spans
    )


def parts_of(speech, part_s):
    return list(cut_parts(Speech(tuple(speech)), part_s, pause_s=2.0, margin_s=0.4))


def test_parts_of_about_equal_length_are_cut_at_long_pauses():
    # Pauses of 0.5 s, and of 1 s from second 11 and from second 23 of each half minute.
    starts = np.arange(0.0, 120.0, 2.0)
    speech = [(start_s, start_s + (1.0 if start_s % 30 in {10, 22} else 1.5)) for start_s in starts]

    parts = parts_of(speech, 40.0)

    assert np.array(parts) == pytest.approx(np.array([(0, 41.4), (41.6, 83.4), (83.6, 119.9)]))
    assert parts_of(speech, float("inf")) == [(0.0, pytest.approx(119.9))]


def test_parts_are_cut_at_all_pauses_that_are_not_transcribed():
    parts = parts_of([(1.0, 5.0), (6.5, 9.0), (12.0, 13.0), (40.0, 50.0)], 80.0)

    assert parts == [(0.6, 9.4), (11.6, 13.4), (39.6, 50.4)]


def test_speech_without_a_pause_is_not_cut():
    assert parts_of([(0.0, 500.0)], 80.0) == [(0.0, 500.4)]
    assert parts_of([], 80.0) == []


def test_parts_of_the_whole_audio_are_cut_in_the_middle_of_long_pauses():
    speech = Speech(((5.0, 40.0), (40.6, 80.0), (82.0, 130.0), (130.9, 170.0)))

    parts = list(cut_at_pauses(speech, 60.0, pause_s=1.0))

    assert parts == [(0.0, 81.0), (81.0, inf)]
    assert list(cut_at_pauses(speech, inf, pause_s=1.0)) == [(0.0, inf)]
    assert list(cut_at_pauses(speech, 60.0, pause_s=3.0)) == [(0.0, inf)]
    assert list(cut_at_pauses(Speech(()), 60.0, pause_s=1.0)) == [(0.0, inf)]


def test_parts_of_blocks_are_cut_where_they_are():
    samples = np.arange(100 * RATE_HZ, dtype=np.float32)
    blocks = np.split(samples, range(7_000, len(samples), 90_001))

    windows = list(cut_overlapping(blocks, 30.0, [(2.0, 12.5), (40.0, 95.0), (99.0, 120.0)]))

    assert [round(start_s, 3) for start_s, _ in windows] == [2.0, 40.0, 60.0, 80.0, 99.0]
    lengths_s = [len(window) / RATE_HZ for _, window in windows]
    assert lengths_s == [10.5, 30.0, 30.0, 15.0, 1.0]
    assert all(window[0] == round(start_s * RATE_HZ) for start_s, window in windows)


def test_without_silero_on_is_an_error_and_auto_goes_by_energy_with_a_note(monkeypatch):
    monkeypatch.setattr(vad, "find_weights", lambda: None)

    detector = open_detector("auto", by_default=True)
    with pytest.raises(MachineError) as caught:
        open_detector("on", by_default=False)

    assert caught.value.exit_code == 5
    assert "gaudi-asr[vad]" in caught.value.remedy
    assert detector is not None
    assert "silero-vad" in detector.note


def test_auto_detects_only_for_a_model_that_needs_it():
    assert open_detector("auto", by_default=False) is None
    assert open_detector("off", by_default=True) is None


@pytest.mark.parametrize(("delimiter", "text"), [(1, "aa a a"), (None, "aaaa")])
def test_a_pause_is_the_border_of_words_and_its_text_is_dropped(delimiter, text):
    vocabulary = Vocabulary(("", "|", "a"), blank=0, delimiter=delimiter)
    spoken = {0: 2, 5: 2, 20: 2, 30: 2, 44: 2}
    columns = [spoken.get(frame, 0) for frame in range(50)]
    log_probs = np.log(np.eye(3, dtype=np.float32)[columns] + 1e-4)[None]
    speech = Speech(((0.0, 0.6), (1.9, 2.2), (4.2, 5.0)))
    decoder = SpeechDecoder(make_decoder("greedy", vocabulary), speech, vocabulary)
    utterance = Utterance("one", AudioSpan(Path("one.wav")))
    chunks = (log_probs[:, :12], log_probs[:, 12:])

    parts = [decoder.condense(Emissions(one, np.array([one.shape[1]]), 0.1), 0) for one in chunks]

    assert decoder.assemble(parts, utterance).text == text

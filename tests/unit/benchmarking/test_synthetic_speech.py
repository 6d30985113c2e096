import subprocess
import sys

import numpy as np
import pytest

from gaudi_asr_cli.core.benchmarking.synthetic import (
    draw_durations_s,
    make_speech_like,
    make_synthetic_speech,
)


def test_durations_are_distributed_as_in_test_clean():
    durations_s = draw_durations_s(2620, seed=0)

    assert durations_s.mean() == pytest.approx(7.42, abs=0.01)
    assert (durations_s.min(), durations_s.max()) >= (1.3, 1.3)
    assert durations_s.max() <= 35
    assert durations_s.sum() / 3600 == pytest.approx(5.4, abs=0.01)


def test_durations_match_the_shared_model(shared_data):
    printed = subprocess.run(
        [sys.executable, shared_data / "durations.py", "test-clean"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert [f"{one:.3f}" for one in draw_durations_s(2620, seed=0)] == printed.split()


def test_utterance_has_the_samples_of_its_duration_on_every_load():
    speech = make_synthetic_speech(12, seed=1)

    for utterance in speech.utterances:
        first, again = (speech.load(utterance.audio).samples for _ in range(2))
        assert len(first) == round(utterance.audio.duration_s * 16_000)
        assert np.array_equal(first, again)


def test_zero_utterances_are_as_many_as_in_test_clean():
    assert len(make_synthetic_speech(0, seed=0).utterances) == 2620


def test_waveform_is_neither_silent_nor_clipped():
    waveform = make_speech_like(3.0, seed=0)

    assert waveform.dtype == np.float32
    assert 0.02 < float(np.sqrt(np.mean(waveform**2))) < 0.5
    assert float(np.abs(waveform).max()) < 1.0

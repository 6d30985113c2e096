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


def test_durations_are_those_that_the_project_models(shared_data):
    printed = subprocess.run(
        [sys.executable, shared_data / "durations.py", "test-clean"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert [f"{one:.3f}" for one in draw_durations_s(2620, seed=0)] == printed.split()


def test_an_utterance_has_the_samples_that_its_duration_promises_each_time_the_same():
    speech = make_synthetic_speech(12, seed=1)

    for utterance in speech.utterances:
        first, again = (speech.load(utterance.audio).samples for _ in range(2))
        assert len(first) == round(utterance.audio.duration_s * 16_000)
        assert np.array_equal(first, again)


def test_no_number_of_utterances_is_as_many_as_test_clean_has():
    assert len(make_synthetic_speech(0, seed=0).utterances) == 2620


def test_the_sound_is_neither_silent_nor_clipped():
    sound = make_speech_like(3.0, seed=0)

    assert sound.dtype == np.float32
    assert 0.02 < float(np.sqrt(np.mean(sound**2))) < 0.5
    assert float(np.abs(sound).max()) < 1.0

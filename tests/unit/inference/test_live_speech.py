"""Utterances in live audio: their limits, margins and longest length, whatever the pieces."""

import numpy as np
import pytest
from helpers.live_audio import FRAME, FRAME_S, LEVELS, leveled
from hypothesis import given
from hypothesis import strategies as st

from gaudi_asr_cli.core.errors import UsageError
from gaudi_asr_cli.core.inference.live_speech import (
    LiveSettings,
    SpeechEnded,
    SpeechPaused,
    SpeechStarted,
    UtteranceFinder,
    open_live_detector,
)


def find(samples, *, piece=4000, settings=None):
    """Return all steps of audio that arrives in pieces."""
    finder = UtteranceFinder(LEVELS, settings or LiveSettings())
    steps = []
    for first in range(0, len(samples), piece):
        steps += finder.push(samples[first : first + piece])
    return [*steps, *finder.finish()]


def ended(steps):
    return [step.audio for step in steps if isinstance(step, SpeechEnded)]


def test_an_utterance_ends_after_its_pause_and_has_a_margin():
    steps = find(leveled((2, 0), (3, 0.9), (2, 0)))

    started, paused, over = steps
    assert started == SpeechStarted(0, pytest.approx(2, abs=FRAME_S))
    assert isinstance(paused, SpeechPaused)
    assert over.audio.end_s == pytest.approx(5, abs=FRAME_S)
    assert over.audio.from_s == pytest.approx(over.audio.start_s - 0.4, abs=FRAME_S)
    assert len(over.audio.samples) / 16_000 == pytest.approx(3.8, abs=0.1)
    np.testing.assert_array_equal(paused.audio.samples, over.audio.samples)


def test_shorter_pauses_do_not_end_an_utterance_and_clicks_do_not_start_one():
    steps = find(leveled((1, 0), (0.064, 0.9), (1, 0), (1, 0.9), (0.5, 0), (1, 0.9), (1, 0)))

    assert len(ended(steps)) == 1
    assert ended(steps)[0].start_s == pytest.approx(2.06, abs=2 * FRAME_S)
    assert ended(steps)[0].end_s == pytest.approx(4.56, abs=3 * FRAME_S)
    assert len([step for step in steps if isinstance(step, SpeechPaused)]) == 2


def test_the_end_of_the_audio_ends_the_utterance():
    steps = find(leveled((1, 0.9)), piece=16_001)

    assert ended(steps)[0].end_s == pytest.approx(1, abs=FRAME_S)
    assert find(leveled((3, 0))) == []
    assert find(np.zeros(0, np.float32)) == []


def test_a_long_utterance_is_cut_at_its_best_pause_without_losing_a_sample():
    samples = leveled((4, 0.9), (0.5, 0.2), (10, 0.9))
    samples[:] += np.arange(len(samples)) / 1e9
    settings = LiveSettings(max_utterance_s=6)
    steps = find(samples, settings=settings)

    parts = ended(steps)
    assert parts[0].from_s + len(parts[0].samples) / 16_000 == pytest.approx(4.25, abs=0.1)
    assert all(len(one.samples) <= 6 * 16_000 for one in parts)
    np.testing.assert_array_equal(np.concatenate([one.samples for one in parts]), samples)
    assert [one.number for one in parts] == list(range(len(parts)))
    assert [step.number for step in steps if isinstance(step, SpeechStarted)] == [
        one.number for one in parts
    ]


def test_a_cut_in_the_last_pause_leaves_no_empty_utterance():
    settings = LiveSettings(max_utterance_s=5, pause_s=2)
    parts = ended(find(leveled((3.6, 0.9), (3, 0), (1, 0.9), (3, 0)), settings=settings))

    assert [one.end_s > one.start_s for one in parts] == [True, True]
    assert parts[1].start_s == pytest.approx(6.6, abs=0.1)


def test_only_the_current_utterance_is_held():
    finder = UtteranceFinder(LEVELS, LiveSettings(max_utterance_s=10))
    held = []
    for _ in range(60):
        for part in ((1, 0), (2, 0.9)):
            list(finder.push(leveled(part)))
            held.append(len(finder._frames))

    assert max(held) < 4 / FRAME_S


@given(
    st.lists(st.tuples(st.floats(0.05, 4), st.sampled_from([0.0, 0.4, 0.9])), max_size=12),
    st.integers(100, 50_000),
)
def test_pieces_do_not_matter_and_utterances_never_overlap(parts, piece):
    samples = leveled(*parts) if parts else np.zeros(0, np.float32)
    settings = LiveSettings(max_utterance_s=5)

    found = ended(find(samples, piece=piece, settings=settings))
    whole = ended(find(samples, piece=max(1, len(samples)), settings=settings))

    limits = [(one.from_s, one.start_s, one.end_s, len(one.samples)) for one in found]
    assert limits == [(one.from_s, one.start_s, one.end_s, len(one.samples)) for one in whole]
    reached_s = 0.0
    for from_s, start_s, end_s, count in limits:
        assert reached_s - 1e-6 <= from_s <= start_s < end_s
        assert 0 < count <= 5 * 16_000
        reached_s = from_s + count / 16_000


def test_the_detector_finds_speech_without_torch():
    samples = np.random.default_rng(1).normal(0, 0.01, FRAME * 100).astype(np.float32)

    probabilities = open_live_detector().open_stream()(samples)

    assert probabilities.shape == (100,)
    assert (probabilities < 0.5).all()


def test_settings_outside_of_their_limits_are_an_error():
    with pytest.raises(UsageError, match="max_utterance_s"):
        LiveSettings(max_utterance_s=31).check()
    with pytest.raises(UsageError, match="pause_s"):
        LiveSettings(pause_s=float("nan")).check()

"""Silero VAD's network in NumPy is that of torch."""

import numpy as np
import pytest
import torch

from gaudi_asr_cli.core.models.silero import SileroStream, find_weights, open_silero
from gaudi_asr_cli.core.models.silero_frames import SileroFrames, open_silero_weights
from gaudi_asr_cli.core.models.threads import threads

pytestmark = pytest.mark.skipif(find_weights() is None, reason="silero-vad is not installed")


def make_audio():
    """Return 4.1 s of a buzz in syllables between quiet noise."""
    times_s = np.arange(128 * 512) / 16_000
    voice = sum(np.sin(2 * np.pi * 140 * k * times_s) / k for k in range(1, 20))
    voice *= 0.2 * (np.sin(2 * np.pi * times_s) > 0) * (1 + np.sin(2 * np.pi * 4 * times_s))
    noise = np.random.default_rng(4).normal(0, 1e-3, len(times_s))
    return (voice + noise).astype(np.float32)


def test_numpy_computes_the_probabilities_of_torch_frame_by_frame():
    samples = make_audio()

    expected = SileroStream(open_silero(find_weights()))(samples)
    stream = SileroFrames(open_silero_weights(find_weights()))
    parts = [stream(block) for block in np.split(samples, [512, 1536, 4096])]

    assert expected.max() > 0.5 > expected.min()
    np.testing.assert_allclose(np.concatenate(parts), expected, atol=2e-6)


def test_the_lstm_runs_on_one_thread(monkeypatch):
    network = open_silero(find_weights())
    run, seen = network.lstm.forward, []

    def record(*arguments):
        seen.append(torch.get_num_threads())
        return run(*arguments)

    monkeypatch.setattr(network.lstm, "forward", record)
    with threads(2):
        SileroStream(network)(make_audio())
        assert torch.get_num_threads() == 2

    assert seen == [1]

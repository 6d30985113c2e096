import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaudi_asr_cli.core.inference.overlapping import OVERLAP, cut_overlapping, generate_overlapping
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ, Hypothesis, Segment

WINDOW_S = 3.0
STEP_S = WINDOW_S * (1 - OVERLAP)


@given(st.lists(st.integers(0, 90_000), min_size=1, max_size=8))
def test_windows_cover_the_audio_for_any_blocks(sizes):
    audio = np.arange(sum(sizes), dtype=np.float32)
    blocks = np.split(audio, np.cumsum(sizes)[:-1])

    windows = list(cut_overlapping(blocks, WINDOW_S))

    whole = list(cut_overlapping([audio], WINDOW_S))
    assert [start for start, _ in windows] == [start for start, _ in whole]
    for (start_s, samples), (_, other) in zip(windows, whole, strict=True):
        np.testing.assert_array_equal(samples, other)
        first = round(start_s * SAMPLE_RATE_HZ)
        np.testing.assert_array_equal(samples, audio[first : first + len(samples)])
    assert round(windows[-1][0] * SAMPLE_RATE_HZ) + len(windows[-1][1]) == len(audio)


def make_generator(*, times):
    """Return a fake `generate`: a word for each impulse in a window."""

    def generate(windows):
        hypotheses = []
        for window in windows:
            impulses = np.flatnonzero(window)
            words = [f"w{int(window[at])}" for at in impulses]
            segments = tuple(
                Segment(word, at / SAMPLE_RATE_HZ, at / SAMPLE_RATE_HZ + 0.1)
                for word, at in zip(words, impulses, strict=True)
            )
            hypotheses.append(
                Hypothesis((), " ".join(words), "en", segments=segments if times else ())
            )
        return tuple(hypotheses)

    return generate


@pytest.mark.parametrize("times", [True, False])
@pytest.mark.parametrize("batch_size", [1, 4])
def test_every_word_of_long_audio_is_transcribed_once(times, batch_size):
    audio = np.zeros(int(20.2 * SAMPLE_RATE_HZ), np.float32)
    positions = np.arange(4_000, len(audio), int(0.37 * SAMPLE_RATE_HZ))
    audio[positions] = np.arange(1, len(positions) + 1)
    generate = make_generator(times=times)

    hypothesis = generate_overlapping(
        cut_overlapping([audio], WINDOW_S), generate, batch_size, WINDOW_S
    )

    assert hypothesis.text.split() == [f"w{number}" for number in range(1, len(positions) + 1)]
    assert hypothesis.language == "en"
    starts = [one.start_s for one in hypothesis.segments]
    assert starts == sorted(starts)
    if times:
        np.testing.assert_allclose(starts, positions / SAMPLE_RATE_HZ, atol=1e-3)


@pytest.mark.parametrize(("language", "text"), [("zh", "我们走吧"), ("hi", "我们 走吧")])
def test_languages_without_spaces_get_none_between_segments(language, text):
    texts = iter(["我们", "走吧"])

    def generate(windows):
        segments = [Segment(next(texts), 1.2, 1.8) for _ in windows]
        return tuple(Hypothesis((), one.text, language, segments=(one,)) for one in segments)

    audio = np.zeros(int((STEP_S + WINDOW_S) * SAMPLE_RATE_HZ), np.float32)
    hypothesis = generate_overlapping(cut_overlapping([audio], WINDOW_S), generate, 1, WINDOW_S)

    assert hypothesis.text == text

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaudi_asr_cli.core.inference.overlapping import OVERLAP, cut_overlapping, generate_overlapping
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ, Hypothesis, Segment

WINDOW_S = 3.0
STEP_S = WINDOW_S * (1 - OVERLAP)


@given(st.lists(st.integers(0, 90_000), min_size=1, max_size=8))
def test_windows_cover_the_sound_however_it_comes(sizes):
    sound = np.arange(sum(sizes), dtype=np.float32)
    blocks = np.split(sound, np.cumsum(sizes)[:-1])

    windows = list(cut_overlapping(blocks, WINDOW_S))

    whole = list(cut_overlapping([sound], WINDOW_S))
    assert [start for start, _ in windows] == [start for start, _ in whole]
    for (start_s, samples), (_, other) in zip(windows, whole, strict=True):
        np.testing.assert_array_equal(samples, other)
        first = round(start_s * SAMPLE_RATE_HZ)
        np.testing.assert_array_equal(samples, sound[first : first + len(samples)])
    assert round(windows[-1][0] * SAMPLE_RATE_HZ) + len(windows[-1][1]) == len(sound)


def hear_ticks(every_s, *, times):
    """A fake author: a word for each tick of a clock that it finds whole in a window."""

    def write(sounds):
        rows = []
        for sound in sounds:
            ticks = np.flatnonzero(sound)
            words = [f"w{int(sound[at])}" for at in ticks]
            segments = tuple(
                Segment(word, at / SAMPLE_RATE_HZ, at / SAMPLE_RATE_HZ + 0.1)
                for word, at in zip(words, ticks, strict=True)
            )
            rows.append(Hypothesis((), " ".join(words), "en", segments=segments if times else ()))
        return tuple(rows)

    return write


@pytest.mark.parametrize("times", [True, False])
@pytest.mark.parametrize("rows", [1, 4])
def test_every_word_of_a_long_sound_is_written_once(times, rows):
    sound = np.zeros(int(20.2 * SAMPLE_RATE_HZ), np.float32)
    places = np.arange(4_000, len(sound), int(0.37 * SAMPLE_RATE_HZ))
    sound[places] = np.arange(1, len(places) + 1)
    write = hear_ticks(0.37, times=times)

    written = generate_overlapping(cut_overlapping([sound], WINDOW_S), write, rows, WINDOW_S)

    assert written.text.split() == [f"w{number}" for number in range(1, len(places) + 1)]
    assert written.language == "en"
    starts = [one.start_s for one in written.segments]
    assert starts == sorted(starts)
    if times:
        np.testing.assert_allclose(starts, places / SAMPLE_RATE_HZ, atol=1e-3)


@pytest.mark.parametrize(("language", "text"), [("zh", "我们走吧"), ("hi", "我们 走吧")])
def test_languages_without_spaces_get_none_between_stretches(language, text):
    stretches = iter(["我们", "走吧"])

    def write(sounds):
        said = [Segment(next(stretches), 1.2, 1.8) for _ in sounds]
        return tuple(Hypothesis((), one.text, language, segments=(one,)) for one in said)

    sound = np.zeros(int((STEP_S + WINDOW_S) * SAMPLE_RATE_HZ), np.float32)
    written = generate_overlapping(cut_overlapping([sound], WINDOW_S), write, 1, WINDOW_S)

    assert written.text == text

import numpy as np
import pytest

from gaudi_asr_cli.core.inference.word_borders import measure_levels, refine_borders
from gaudi_asr_cli.core.records import WordTiming

RATE_HZ = 16_000


def audio(*spoken, length_s=3.0, quiet=1e-4):
    """Noise that is loud from start to end of each span."""
    random = np.random.default_rng(0)
    samples = quiet * random.standard_normal(round(length_s * RATE_HZ))
    for start_s, end_s in spoken:
        inside = slice(round(start_s * RATE_HZ), round(end_s * RATE_HZ))
        samples[inside] += 0.1 * random.standard_normal(inside.stop - inside.start)
    return samples.astype(np.float32)


def word(start_s, end_s, letters="ab"):
    middle_s = (start_s + end_s) / 2
    times = ((start_s, middle_s), (middle_s, end_s))
    characters = (WordTiming(one, *two, 1.0) for one, two in zip(letters, times, strict=True))
    return WordTiming(letters, start_s, end_s, 1.0, tuple(characters))


def times(words):
    return [time for one in words for time in (one.start_s, one.end_s)]


@pytest.mark.parametrize("size", [48_000, 1000, 37])
def test_borders_are_where_the_pauses_are_whatever_the_blocks(size):
    samples = audio((0.5, 1.0), (1.2, 1.7), (2.0, 2.5))
    blocks = [samples[start : start + size] for start in range(0, len(samples), size)]

    found = refine_borders(
        [word(0.6, 0.8), word(1.1, 1.6), word(2.1, 2.6)], measure_levels(blocks), 0
    )

    assert times(found) == pytest.approx([0.5, 1.0, 1.2, 1.7, 2.0, 2.5], abs=0.011)
    assert [one.characters[0].start_s for one in found] == [one.start_s for one in found]
    assert [one.characters[-1].end_s for one in found] == [one.end_s for one in found]


def test_words_of_a_span_keep_the_clock_of_their_file():
    levels = measure_levels([audio((0.5, 1.0))])

    assert times(refine_borders([word(10.6, 10.9)], levels, 10.0)) == pytest.approx(
        [10.5, 11.0], abs=0.011
    )


@pytest.mark.parametrize(
    "samples",
    [audio(), audio((0.0, 3.0)), audio((0.5, 1.0), quiet=0.08), np.zeros(0, np.float32)],
    ids=["silence", "speech without a pause", "noise", "nothing"],
)
def test_without_a_pause_the_borders_stay(samples):
    words = [word(0.6, 1.0), word(1.0, 1.4)]

    assert refine_borders(words, measure_levels([samples]), 0.0) == tuple(words)
    assert refine_borders([], measure_levels([samples]), 0.0) == ()


def test_a_pause_far_from_the_border_of_the_network_is_not_believed():
    levels = measure_levels([audio((0.5, 2.5))])

    assert times(refine_borders([word(1.4, 1.6)], levels, 0.0)) == [1.4, 1.6]

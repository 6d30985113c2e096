import pytest

from gaudi_asr_cli.core.evaluation.calibration import measure_calibration
from gaudi_asr_cli.core.evaluation.predictions import Prediction


def predicted(reference, hypothesis, *confidences):
    return Prediction("u", reference, hypothesis, confidences=confidences)


def test_words_are_counted_in_the_bin_of_their_confidence():
    found = measure_calibration(
        [predicted("a b c", "a x c", 0.95, 0.91, 0.31), predicted("d", "d e", 1.0, 0.35)]
    )

    low, high = found.bins
    assert (low.low, low.words, low.accuracy) == (0.3, 2, 0.5)
    assert (high.low, high.words, high.accuracy) == (0.9, 3, pytest.approx(2 / 3))
    gaps = 2 * abs(0.33 - 0.5) + 3 * abs((0.95 + 0.91 + 1.0) / 3 - 2 / 3)
    assert found.error == pytest.approx(gaps / 5)


def test_texts_of_other_words_than_the_confidences_are_left_out():
    found = measure_calibration([predicted("don t", "don t", 0.5), predicted("a", "a", 0.5)])

    assert (found.words, found.left_out) == (1, 1)
    assert measure_calibration([predicted("a", "a"), predicted("a", "a", None)]) is None
